import type { AvroSchemaJson } from '../../src/avro/schema.ts';

/** A writer's schema, a reader's that skips or renames some of it, and a value to start from. */
export interface FuzzSchema {
  readonly writer: AvroSchemaJson;
  readonly reader?: AvroSchemaJson;
  readonly value: unknown;
}

const record = (name: string, fields: Readonly<Record<string, unknown>>): AvroSchemaJson => ({
  type: 'record',
  name,
  fields: Object.entries(fields).map(([field, type]) => ({ name: field, type })),
});

const emptyRecord = { type: 'record', name: 'Empty', fields: [] };
const trip = {
  id: 'long',
  vehicle: 'string',
  lat: 'double',
  fare: ['null', 'float'],
  ok: 'boolean',
  state: { type: 'enum', name: 'State', symbols: ['NEW', 'DONE'] },
  tags: { type: 'array', items: 'string' },
  more: { type: 'map', values: ['null', 'int', 'string'] },
  mac: { type: 'fixed', name: 'Mac', size: 6 },
};
const tripValue = {
  id: 1_700_000_000_123,
  vehicle: 'vehicle-1',
  lat: 52.5,
  fare: 12.5,
  ok: true,
  state: 'DONE',
  tags: ['a', 'night'],
  more: { x: 1, y: 'z', n: null },
  mac: Buffer.alloc(6, 7),
};

const node = record('Node', { value: 'int', next: ['null', 'Node'], all: { type: 'array', items: 'Node' } });

/** Every type, each way a length or a count can lie, and readers that skip. */
export const fuzzSchemas: readonly FuzzSchema[] = [
  { writer: record('Trip', trip), value: tripValue },
  { writer: record('Trip', trip), reader: record('Trip', { fare: ['null', 'double'] }), value: tripValue },
  { writer: record('Trip', trip), reader: record('Trip', { tags: trip.tags, more: trip.more }), value: tripValue },
  { writer: { type: 'array', items: 'int' }, value: [1, 2, 3] },
  { writer: { type: 'array', items: 'null' }, value: [null, null] },
  { writer: { type: 'array', items: emptyRecord }, value: [{}, {}] },
  { writer: { type: 'array', items: { type: 'array', items: { type: 'array', items: 'null' } } }, value: [[[null]], []] },
  { writer: { type: 'map', values: 'null' }, value: { a: null, __proto__2: null } },
  { writer: { type: 'map', values: { type: 'map', values: 'bytes' } }, value: { a: { b: Buffer.from('c') } } },
  { writer: node, value: { value: 1, next: { value: 2, next: null, all: [] }, all: [{ value: 3, next: null, all: [] }] } },
  {
    writer: record('Outer', { skip: node, keep: 'string' }),
    reader: record('Outer', { keep: 'string' }),
    value: { skip: { value: 1, next: null, all: [{ value: 3, next: null, all: [] }] }, keep: 'x' },
  },
  { writer: ['null', 'int', 'double', 'string'], value: { double: 1.5 } },
  { writer: record('Longs', { a: 'long', b: 'int', c: 'bytes' }), value: { a: -(2 ** 52), b: -5, c: Buffer.from('bytes') } },
];
