import { createAvroDeserializer } from '../../src/avro/deserializer.ts';
import { avroSchema } from '../../src/avro/schema.ts';
import { WIRE_HEADER_BYTES, writeWireHeader } from '../../src/avro/wire-format.ts';
import { DecodeError, StateError } from '../../src/errors.ts';
import type { Deserializer } from '../../src/serde.ts';
import { Random } from '../support/random.ts';
import { staticSchemas } from '../support/static-schemas.ts';
import { type FuzzSchema, fuzzSchemas } from './schemas.ts';

/** What a run of the fuzzer found. */
export interface FuzzResult {
  readonly inputs: number;
  readonly decoded: number;
  readonly refused: number;
  /** The longest single decode, in milliseconds. */
  readonly slowestMs: number;
  /** The highest growth of the heap between two looks, in bytes. */
  readonly heapGrowthBytes: number;
}

const place = { topic: 'fuzz', partition: 0, offset: 0 };
const HEAP_LOOK_EVERY = 1_000;
const MAX_BODY_BYTES = 64;

/** Bytes that lie best: large counts, negative ones, endless varints. */
const LIES: readonly (readonly number[])[] = [
  [0xfe, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  [0x80],
  [0x01, 0x01],
  [0x12, ...Buffer.from('__proto__')],
];

interface Target {
  readonly deserializer: Deserializer<unknown>;
  readonly seed: Buffer;
}

function targetOf({ writer, reader, value }: FuzzSchema, id: number): Target {
  const schema = avroSchema<unknown>(writer);
  const readerSchema = reader === undefined ? undefined : avroSchema<unknown>(reader);
  return {
    deserializer: createAvroDeserializer({ registry: staticSchemas(schema.text, id), readerSchema }),
    seed: schema.type.toBuffer(value),
  };
}

/**
 * Decodes random and mutated values of every schema, in the middle of other bytes as in a batch.
 *
 * @throws StateError for an outcome that is neither a value nor a `DecodeError`, and for a touched `Object.prototype`
 */
export function fuzzAvro(inputs: number, seed: number): FuzzResult {
  const random = new Random(seed);
  const below = (limit: number): number => random.integer(0, limit - 1);
  const targets = fuzzSchemas.map((schema, index) => targetOf(schema, index + 1));
  const memory = Buffer.alloc(4 * MAX_BODY_BYTES);
  let decoded = 0;
  let refused = 0;
  let slowestMs = 0;
  let heapGrowthBytes = 0;
  let heap = process.memoryUsage().heapUsed;
  for (let input = 0; input < inputs; input++) {
    const id = input % targets.length;
    const { deserializer, seed: valid } = targets[id]!;
    const start = below(MAX_BODY_BYTES);
    const body = random.next() < 0.2 ? randomBytes(below) : mutate(valid, below);
    writeWireHeader(memory, start, id + 1);
    memory.set(body, start + WIRE_HEADER_BYTES);
    const startedAt = performance.now();
    try {
      assertHarmless(deserializer.deserializeAt!(memory, start, start + WIRE_HEADER_BYTES + body.length, place));
      decoded++;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw new StateError(`Input ${input} of seed ${seed}: ${String(error)}`, { cause: error });
      refused++;
    }
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    if (input % HEAP_LOOK_EVERY === 0) {
      const now = process.memoryUsage().heapUsed;
      heapGrowthBytes = Math.max(heapGrowthBytes, now - heap);
      heap = now;
    }
  }
  return { inputs, decoded, refused, slowestMs, heapGrowthBytes };
}

function randomBytes(below: (limit: number) => number): Uint8Array {
  return Uint8Array.from({ length: below(MAX_BODY_BYTES) }, () => below(256));
}

/** One to four changes of a valid value: a byte, a cut, a lie put in, a piece twice. */
function mutate(valid: Uint8Array, below: (limit: number) => number): Uint8Array {
  let bytes = [...valid];
  for (let changes = 1 + below(4); changes > 0; changes--) {
    const at = below(bytes.length + 1);
    const kind = below(4);
    if (kind === 0) bytes[at] = below(256);
    else if (kind === 1) bytes = bytes.slice(0, at);
    else if (kind === 2) bytes.splice(at, below(4), ...LIES[below(LIES.length)]!);
    else bytes.splice(at, 0, ...bytes.slice(at, at + below(8)));
  }
  return Uint8Array.from(bytes.slice(0, 2 * MAX_BODY_BYTES));
}

/** Nothing that was decoded may reach, or stand in for, the prototype of all objects. */
function assertHarmless(value: unknown): void {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A map or a list has its usual one; a record one of avsc's making, right above the usual one.
  const usual = prototype === Object.prototype || prototype === Array.prototype;
  if (!usual && Object.getPrototypeOf(prototype) !== Object.prototype) throw new StateError('a decoded value has a foreign prototype');
  if (Object.keys(Object.prototype).length > 0) throw new StateError('Object.prototype was touched');
  for (const item of Object.values(value)) assertHarmless(item);
}
