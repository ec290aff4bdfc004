import { createInterface } from 'node:readline';
import { type Command, InvalidArgumentError } from 'commander';
import type { AvroSchema } from '../avro/schema.ts';
import { ConfigError, EncodeError, SchemaRegistryError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import type { Serializer } from '../serde.ts';
import { parseCount, parseIndex } from './arguments.ts';
import { type InputOptions, readInput } from './produce-input.ts';
import { fromSchemaFile } from './schema-file.ts';
import { stopSignal } from './stop-signal.ts';
import { note } from './terminal.ts';

interface Flags {
  readonly value?: string;
  readonly key?: string;
  readonly keySeparator?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly partition?: number;
  readonly count?: number;
  readonly json?: boolean;
  readonly schema?: string;
  readonly avro?: boolean;
}

/** Adds `produce`: records from standard input. */
export function register(program: Command): void {
  program
    .command('produce')
    .description('Produces a record from each line of standard input, or the one of --value. Ends when all are acknowledged.')
    .argument('<topic>')
    .option('--value <text>', 'one record with this value instead of standard input')
    .option('--key <text>', 'key of the records')
    .option('--key-separator <text>', 'what parts the key from the value in each line')
    .option('--header <name=value>', 'a header of each record; may be repeated', addHeader)
    .option('--partition <number>', 'partition of the records (default: by the key)', parseIndex)
    .option('--count <count>', 'stop after so many lines', parseCount)
    .option('--json', 'lines as consume --json writes them: key, value, headers, timestamp')
    .option('--schema <file>', 'values are JSON, produced as Avro of this schema, which is registered')
    .option('--avro', "values are JSON, produced as Avro of the subject's newest schema")
    .action(run);
}

async function run(topic: string, flags: Flags): Promise<void> {
  const vars = parseRuntimeVars();
  const { schema: file, avro = false, json = false, keySeparator, key, header, partition, count } = flags;
  if (file !== undefined && avro) throw new ConfigError(['Expected one of --schema and --avro, got both']);
  const values = file !== undefined || avro ? await avroSerializer(vars, topic, file) : undefined;
  const { createProducer } = await import('../delivery/create-clients.ts');
  const input: InputOptions = { topic, json, avro: values !== undefined, keySeparator, key, headers: header, partition };
  const producer = await createProducer<Uint8Array | string | null, unknown>({
    vars,
    ...(values === undefined ? {} : { valueSerializer: values }),
  });
  let produced = 0;
  try {
    for await (const line of flags.value === undefined ? lines(count) : [flags.value]) {
      await producer.enqueue(readInput(line, produced + 1, input)).catch((error: unknown) => {
        throw ofLine(error, produced + 1);
      });
      produced++;
    }
  } catch (error) {
    if (produced > 0) note(`stopped at line ${produced + 1}; the ${produced} before it are sent`);
    throw error;
  } finally {
    try {
      // What was read before a faulty line is delivered all the same.
      await producer.flush();
    } finally {
      await producer.close();
    }
  }
  producer.throwIfFailed();
  note(`produced ${produced} ${produced === 1 ? 'record' : 'records'} to ${topic}`);
}

/** A value that does not fit its schema, with the line it came from. */
function ofLine(error: unknown, number: number): unknown {
  if (!(error instanceof EncodeError)) return error;
  const { message, path, part } = error;
  return new EncodeError(`Line ${number}: ${message}`, { cause: error, path, part });
}

/** Lines of standard input, to its end, to `count`, or until the process is told to stop. */
async function* lines(count = Number.POSITIVE_INFINITY): AsyncGenerator<string, void, undefined> {
  const reader = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  stopSignal().addEventListener('abort', () => reader.close());
  let read = 0;
  for await (const line of reader) {
    yield line;
    if (++read >= count) break;
  }
  process.stdin.destroy();
}

async function avroSerializer(vars: RuntimeVars, topic: string, file: string | undefined): Promise<Serializer<unknown>> {
  const { createSchemaRegistry } = await import('../avro/schema-registry.ts');
  const { createAvroSerializer } = await import('../avro/serializer.ts');
  const { avroSchema } = await import('../avro/schema.ts');
  const registry = createSchemaRegistry({ vars });
  let schema: AvroSchema<unknown>;
  if (file === undefined) {
    const { text, references } = await registry.schema(await registry.latest(`${topic}-value`).catch(hintAtSchema));
    if (references.length > 0) {
      throw new EncodeError(`The schema of ${topic}-value refers to others, which produce does not write. Use --schema with a whole one.`);
    }
    schema = avroSchema(text);
  } else schema = fromSchemaFile(file, avroSchema);
  const serializer = createAvroSerializer({ registry, schema, autoRegister: file !== undefined });
  await serializer.prepare?.({ topic, isKey: false });
  return serializer;
}

function hintAtSchema(error: unknown): never {
  if (!(error instanceof SchemaRegistryError && error.status === 404)) throw error;
  const { message, status, registryCode } = error;
  throw new SchemaRegistryError(`${message} --schema <file> registers one.`, { status, registryCode, cause: error });
}

function addHeader(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Expected name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
