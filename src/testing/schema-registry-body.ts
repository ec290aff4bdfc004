import { type CompatibilityLevel, isCompatibilityLevel } from './schema-registry-avro.ts';
import { failures, MODES, type Mode } from './schema-registry-errors.ts';

/** A schema naming another: `name` is what it calls it, the rest is where it is registered. */
export interface SchemaReference {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

/** What `GET /schemas/types` answers. */
export const SCHEMA_TYPES: readonly string[] = ['JSON', 'PROTOBUF', 'AVRO'];

/** The body of a lookup, registration or compatibility check. Whether the schema itself is sound is not looked at. */
export function readSchemaBody(body: unknown): { schema: string; schemaType: string; references: readonly SchemaReference[] } {
  const { schema, schemaType, references } = readObject(body);
  if (typeof schema !== 'string' || schema.trim() === '') throw failures.invalidSchema('Empty schema');
  const type = schemaType ?? 'AVRO';
  if (typeof type !== 'string' || !SCHEMA_TYPES.includes(type)) throw failures.invalidSchema(`Invalid schema type ${JSON.stringify(type)}`);
  const list: unknown = references ?? [];
  if (!Array.isArray(list) || !list.every(isReference)) throw failures.invalidSchema('A reference needs a name, a subject and a version');
  return { schema, schemaType: type, references: list };
}

function isReference(value: unknown): value is SchemaReference {
  const { name, subject, version } = (value ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && typeof subject === 'string' && Number.isInteger(version);
}

/** @throws a 400 answer when the body is no JSON object. */
function readObject(body: unknown): Record<string, unknown> {
  if (body === null || typeof body !== 'object' || Array.isArray(body))
    throw failures.badRequest('Expected the request body to be a JSON object');
  return body as Record<string, unknown>;
}

/** The level in `{ "compatibility": … }`, in any case of letters. */
export function readLevel(body: unknown): CompatibilityLevel {
  const level = String(readObject(body).compatibility).toUpperCase();
  if (!isCompatibilityLevel(level)) throw failures.invalidLevel();
  return level;
}

/** The mode in `{ "mode": … }`, in any case of letters. */
export function readMode(body: unknown): Mode {
  const name = String(readObject(body).mode).toUpperCase();
  const mode = MODES.find((candidate) => candidate === name);
  if (mode === undefined) throw failures.invalidMode();
  return mode;
}

/** The version a path names; -1 stands for the latest. */
export function parseVersion(version: string): number {
  if (version === 'latest' || version === '-1') return -1;
  const number = /^\d{1,10}$/.test(version) ? Number(version) : 0;
  if (number < 1 || number > 2 ** 31 - 1) throw failures.invalidVersion(version);
  return number;
}
