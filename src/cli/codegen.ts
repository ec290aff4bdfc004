import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ConfigError } from '../errors.ts';
import { fromSchemaFile } from './schema-file.ts';

/** What the command line gives. */
interface Flags {
  readonly out?: string;
  readonly bigint?: boolean;
  readonly logicalTypes?: boolean;
  readonly from: string;
}

/** Adds `codegen`: TypeScript types from an Avro schema file. */
export function register(program: Command): void {
  program
    .command('codegen')
    .description('write TypeScript types for an Avro schema')
    .argument('<schema>', 'file with the schema as JSON, e.g. order.avsc')
    .option('-o, --out <file>', 'file to write (default: standard output)')
    .option('--bigint', 'type longs as bigint')
    .option('--logical-types', 'type logical types as standardLogicalTypes give them')
    .option('--from <module>', 'module the generated file imports from', 'rdkafka-toolkit')
    .action(async (file: string, { out, bigint, logicalTypes, from }: Flags) => {
      const { generateTypes } = await import('../avro/codegen.ts');
      const options = { long: bigint === true ? 'bigint' : 'number', logicalTypes, from } as const;
      const text = fromSchemaFile(file, (schema) => generateTypes(schema, options));
      if (out === undefined) process.stdout.write(text);
      else write(out, text);
    });
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new ConfigError([`Expected --out to be a file that can be written: ${cause instanceof Error ? cause.message : String(cause)}`], {
      cause,
    });
  }
}
