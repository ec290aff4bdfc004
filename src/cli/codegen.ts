import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ConfigError } from '../errors.ts';

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
      const text = generateTypes(read(file), { long: bigint === true ? 'bigint' : 'number', logicalTypes, from });
      if (out === undefined) process.stdout.write(text);
      else writeFileSync(out, text);
    });
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ConfigError(
      [`Expected ${file} to be a file with an Avro schema: ${cause instanceof Error ? cause.message : String(cause)}`],
      { cause },
    );
  }
}
