import { type Command, Option } from 'commander';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { parseCount, parseIndex } from './arguments.ts';
import { type FieldFormat, fieldFormats } from './field-format.ts';
import type { Field, FieldReader } from './record-fields.ts';
import { parseStartPoint, type StartPoint } from './start-point.ts';
import { stopSignal } from './stop-signal.ts';
import { printLineSlowly, styled, visible } from './terminal.ts';

interface Flags {
  readonly from: StartPoint;
  readonly partition?: number;
  readonly count?: number;
  readonly end?: boolean;
  readonly key: FieldFormat;
  readonly value: FieldFormat;
  readonly json?: boolean;
  readonly valueOnly?: boolean;
}

/** Adds `consume`: shows the records of topics. */
export function register(program: Command): void {
  program
    .command('consume')
    .description('Shows the records of topics, Avro decoded. Reads beside every group and commits nothing.')
    .argument('[topics...]', 'topics to read (default: CONSUME_TOPICS)')
    .addOption(
      new Option('--from <where>', 'start, end, an offset, -10 (the last 10 of each partition), or an ISO time')
        .argParser(parseStartPoint)
        .default(parseStartPoint('start'), 'start'),
    )
    .option('--partition <number>', 'only this partition', parseIndex)
    .option('--count <count>', 'stop after so many records', parseCount)
    .option('--end', 'stop at the end the topics have now')
    .addOption(new Option('--key <format>', 'how to show keys').choices(fieldFormats).default('auto'))
    .addOption(new Option('--value <format>', 'how to show values').choices(fieldFormats).default('auto'))
    .option('--json', 'one JSON object a line, as produce --json takes it')
    .option('--value-only', 'the values alone')
    .action(run);
}

async function run(topics: readonly string[], flags: Flags): Promise<void> {
  const vars = parseRuntimeVars();
  const { readRecords } = await import('./read-records.ts');
  const reader = await fieldReader(vars);
  const { from, partition, count = Number.POSITIVE_INFINITY, end: untilEnd = false } = flags;
  const names = topics.length === 0 ? vars.CONSUME_TOPICS : topics;
  let shown = 0;
  for await (const record of readRecords({ vars, topics: names, from, partition, untilEnd, signal: stopSignal() })) {
    await show(record, reader, flags);
    if (++shown >= count) break;
  }
}

async function fieldReader(vars: RuntimeVars): Promise<FieldReader> {
  const { FieldReader } = await import('./record-fields.ts');
  const { createSchemaRegistry } = await import('../avro/schema-registry.ts');
  return new FieldReader(vars.SCHEMA_REGISTRY_URL === undefined ? undefined : createSchemaRegistry({ vars }));
}

async function show(
  record: ConsumerRecord,
  reader: FieldReader,
  { key: keyFormat, value: valueFormat, json, valueOnly }: Flags,
): Promise<void> {
  const value = await reader.read(record.rawValue, valueFormat, record);
  if (valueOnly === true) {
    await printLineSlowly(json === true ? JSON.stringify(value.value) : visible(textOf(value)));
    return;
  }
  const key = await reader.read(record.rawKey, keyFormat, record);
  const headers = await Promise.all(
    record.rawHeaders.map(async (header) => ({ name: header.name, ...(await reader.read(header.value, 'auto', record)) })),
  );
  await printLineSlowly(json === true ? JSON.stringify(lineOf(record, key, value, headers)) : pretty(record, key, value, headers));
}

function lineOf(record: ConsumerRecord, key: Field, value: Field, headers: readonly (Field & { name: string })[]): object {
  const { topic, partition, offset, timestamp } = record;
  return {
    topic,
    partition,
    offset,
    timestamp: timeOf(timestamp),
    key: key.value,
    ...(key.format === undefined ? {} : { keyFormat: key.format }),
    value: value.value,
    ...(value.format === undefined ? {} : { valueFormat: value.format }),
    ...(value.schemaId === undefined ? {} : { schemaId: value.schemaId }),
    headers,
  };
}

function pretty(record: ConsumerRecord, key: Field, value: Field, headers: readonly (Field & { name: string })[]): string {
  const place = `${record.topic} [${record.partition}] @ ${record.offset}`;
  const kind = value.schemaId === undefined ? '' : styled('dim', `  schema ${value.schemaId}`);
  const lines = [
    `${styled('cyan', place)}  ${styled('dim', timeOf(record.timestamp) ?? '')}  ${styled('bold', visible(textOf(key)))}${kind}`,
  ];
  for (const header of headers) lines.push(styled('dim', `  ${visible(header.name)}: ${visible(textOf(header))}`));
  const body = value.format === 'avro' || value.format === 'json' ? JSON.stringify(value.value, undefined, 2) : visible(textOf(value));
  lines.push(...body.split('\n').map((line) => `  ${line}`));
  return lines.join('\n');
}

/** Records older than Kafka 0.10 have no time. */
function timeOf(timestamp: number): string | undefined {
  return timestamp >= 0 ? new Date(timestamp).toISOString() : undefined;
}

function textOf({ value }: Field): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
