import { type AvroSchema, avroSchema } from 'rdkafka-toolkit/worker';

/** Fields of the bench's records: a trip of about 145 bytes, and one of about 280. */
export const FIELD_COUNTS = [9, 20] as const;
export type FieldCount = (typeof FIELD_COUNTS)[number];

/** A value of either schema; the small one has the first nine fields. */
export interface Trip {
  readonly id: number;
  readonly fare: number;
  readonly [field: string]: unknown;
}

const status = { type: 'enum', name: 'Status', symbols: ['REQUESTED', 'STARTED', 'FINISHED', 'CANCELLED'] };

const fields: readonly { readonly name: string; readonly type: unknown }[] = [
  { name: 'id', type: 'long' },
  { name: 'fare', type: 'double' },
  { name: 'vehicle', type: 'string' },
  { name: 'driver', type: 'string' },
  { name: 'pickup', type: 'string' },
  { name: 'latitude', type: 'double' },
  { name: 'longitude', type: 'double' },
  { name: 'status', type: status },
  { name: 'note', type: ['null', 'string'] },
  { name: 'dropoff', type: 'string' },
  { name: 'toLatitude', type: 'double' },
  { name: 'toLongitude', type: 'double' },
  { name: 'startedAt', type: 'long' },
  { name: 'endedAt', type: ['null', 'long'] },
  { name: 'passengers', type: 'int' },
  { name: 'tip', type: ['null', 'float'] },
  { name: 'tags', type: { type: 'array', items: 'string' } },
  { name: 'paid', type: 'boolean' },
  { name: 'currency', type: 'string' },
  { name: 'receipt', type: 'string' },
];

const record = (name: string, of: readonly object[]): object => ({ type: 'record', name, namespace: 'bench', fields: of });

/** The schema of records with so many fields. */
export const tripSchemas: Readonly<Record<FieldCount, AvroSchema<Trip>>> = {
  9: avroSchema<Trip>(record('Trip', fields.slice(0, 9)) as never),
  20: avroSchema<Trip>(record('Trip', fields) as never),
};

/** A reader schema of a single field. */
export const fareSchema: AvroSchema<Pick<Trip, 'fare'>> = avroSchema(record('Trip', [fields[1]!]) as never);

const text = (length: number, seed: number): string => {
  let made = '';
  for (let index = 0; index < length; index++) made += String.fromCharCode(97 + ((seed * 31 + index * 17 + ((seed * index) % 7)) % 26));
  return made;
};

/** The trip of a number. */
export function makeTrip(id: number, count: FieldCount): Trip {
  const small = {
    id: 1_700_000_000_000 + id,
    fare: (id % 997) / 4,
    vehicle: `vehicle-${id % 500}`,
    driver: `driver-${text(14, id)}`,
    pickup: `${text(22, id % 300)}, ${1 + (id % 90)}, Berlin`,
    latitude: 52 + (id % 10_007) / 10_007,
    longitude: 13 + (id % 10_009) / 10_009,
    status: status.symbols[id % 4],
    note: id % 3 === 0 ? null : text(46, id),
  };
  if (count === 9) return small;
  return {
    ...small,
    dropoff: `${text(24, id % 700)}, ${1 + (id % 120)}, Potsdam`,
    toLatitude: 52.3 + (id % 9_973) / 9_973,
    toLongitude: 13.1 + (id % 9_967) / 9_967,
    startedAt: 1_700_000_000_000 + id * 1_000,
    endedAt: id % 5 === 0 ? null : 1_700_000_600_000 + id * 1_000,
    passengers: id % 6,
    tip: id % 4 === 0 ? null : (id % 40) / 2,
    tags: ['airport', 'night', 'card'].slice(id % 3),
    paid: id % 2 === 0,
    currency: 'EUR',
    receipt: text(36, id * 3 + 1),
  };
}

/** The work of the pipelines: a field changed. */
export function charge(trip: Trip): Trip {
  return { ...trip, fare: trip.fare + 1 };
}

/** The sum of all fares: what a contender must come to. */
export function expectedFares(records: number): number {
  let sum = 0;
  for (let id = 0; id < records; id++) sum += (id % 997) / 4;
  return sum;
}

/** Subject under which the bench has registered the schema of so many fields. */
export function subjectOf(fields: FieldCount): string {
  return `bench-${fields}`;
}

/** The faults of a sum that is not the one expected; a sum of some of the topics' records cannot be told. */
export function fareFaults(sum: number, { records, whole }: { readonly records: number; readonly whole: boolean }): string[] {
  const expected = expectedFares(records);
  return !whole || Math.abs(sum - expected) < 0.01 ? [] : [`the fares come to ${sum} instead of ${expected}`];
}
