import { inspect } from 'node:util';
import type avro from 'avsc';
import { EncodeError } from '../errors.ts';
import type { SchemaReference, SchemaSource, SerializeContext, Serializer } from '../serde.ts';
import type { InternalType } from './avsc-internals.ts';
import type { AvroSchema } from './schema.ts';
import { type SubjectNameStrategy, subjectName } from './subject-name.ts';
import { Tap } from './tap.ts';
import { WIRE_HEADER_BYTES, writeWireHeader } from './wire-format.ts';

/** Options of {@link createAvroSerializer}. */
export interface AvroSerializerOptions<T> {
  readonly registry: SchemaSource;
  readonly schema: AvroSchema<T>;
  /** The subject to register under, whichever the topic. @default as `subjectNameStrategy` says */
  readonly subject?: string | undefined;
  /** @default 'topic' */
  readonly subjectNameStrategy?: SubjectNameStrategy | undefined;
  /** False: the schema must be registered already. @default true */
  readonly autoRegister?: boolean | undefined;
  /** What the schema refers to by name; registered before. @default none */
  readonly references?: readonly SchemaReference[] | undefined;
}

/** Values are written into slabs of this size, so that a record costs no allocation of its own. */
const SLAB_BYTES = 256 * 1024;

/** Memory that values are written into one after the other; the records point into it. */
class Slab {
  readonly #type: InternalType;
  #bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #tap: Tap = new Tap(this.#bytes);
  #used = 0;

  constructor(type: InternalType) {
    this.#type = type;
  }

  write(value: unknown, id: number): Buffer {
    let start = this.#used;
    let end = this.#writeAt(value, start);
    if (end > this.#bytes.length) {
      // Did not fit; where it would have ended says how much is needed. The old memory lives on in the records that point into it.
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (end - start)));
      start = 0;
      end = this.#writeAt(value, 0);
    }
    writeWireHeader(this.#bytes, start, id);
    this.#used = end;
    return this.#bytes.subarray(start, end);
  }

  #writeAt(value: unknown, start: number): number {
    this.#tap.open(this.#bytes, start + WIRE_HEADER_BYTES, this.#bytes.length);
    this.#type._write(this.#tap, value);
    return this.#tap.pos;
  }
}

/** Writes Avro in Confluent's wire format. The schema is registered once per subject. Null makes a null key or a tombstone. */
export function createAvroSerializer<T>(options: AvroSerializerOptions<T>): Serializer<T> {
  const { registry, schema, subject, subjectNameStrategy = 'topic', autoRegister = true, references = [] } = options;
  /** Topic → id, for keys and for values. */
  const keyIds = new Map<string, number>();
  const valueIds = new Map<string, number>();
  /** Undefined while it is in use: a logical type of the user's may encode as well. */
  let spare: Slab | undefined = new Slab(schema.type as InternalType);
  const subjectOf = (context: SerializeContext): string => subject ?? subjectName(subjectNameStrategy, context, schema);

  return {
    serialize(value, context) {
      if (value === null) return null;
      const id = (context.isKey ? keyIds : valueIds).get(context.topic);
      if (id === undefined) throw new EncodeError(`the schema of ${subjectOf(context)} has no id yet; await prepare() first`);
      const slab = spare ?? new Slab(schema.type as InternalType);
      spare = undefined;
      try {
        return slab.write(value, id);
      } catch (error) {
        throw invalidValue(schema, value, error);
      } finally {
        spare = slab;
      }
    },
    prepare(context) {
      const ids = context.isKey ? keyIds : valueIds;
      if (ids.has(context.topic)) return undefined;
      const name = subjectOf(context);
      const asked = autoRegister ? registry.register(name, schema.text, references) : registry.lookup(name, schema.text, references);
      return asked.then((id) => void ids.set(context.topic, id));
    },
  };
}
function invalidValue(schema: AvroSchema<unknown>, value: unknown, cause: unknown): EncodeError {
  let fault: { path: string; got: string; type: string } | undefined;
  // avsc cannot even look at a bigint.
  schema.type.isValid(withoutBigints(value), {
    errorHook: (path: string[], any: unknown, type: avro.Type) => {
      fault ??= { path: path.join('.'), got: describe(any), type: type.typeName };
    },
  });
  if (fault === undefined) return new EncodeError(cause instanceof Error ? cause.message : String(cause), { cause });
  const { path, got, type } = fault;
  return new EncodeError(`expected ${path === '' ? 'the value' : path} to be Avro ${type}, got ${got}`, { path, cause });
}

/** A copy with bigints as text, so that the check finds them where they are. */
function withoutBigints(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || depth > 32) return value;
  if (Array.isArray(value)) return value.map((item) => withoutBigints(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutBigints(item, depth + 1)]));
}

function describe(value: unknown): string {
  if (value === undefined) return 'undefined';
  if (typeof value === 'bigint') return `${value}n`;
  const text =
    typeof value === 'object' && value !== null
      ? inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY })
      : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
