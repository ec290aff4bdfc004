import { SchemaRegistryError } from '../errors.ts';
import { COMPATIBILITY_LEVELS } from './schema-registry-avro.ts';

/** Modes {@link startSchemaRegistry} takes. Confluent's `IMPORT` and `FORWARD` are refused. */
export const MODES = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE'] as const;

/** One of {@link MODES}. */
export type Mode = (typeof MODES)[number];

/** What the registry answers instead of a result. `registryCode` is the `error_code` of the body; its first three digits are the status. */
export function failure(registryCode: number, message: string, cause?: unknown): SchemaRegistryError {
  return new SchemaRegistryError(message, { registryCode, status: Number(String(registryCode).slice(0, 3)), cause });
}

/** Confluent's answers, worded as its registry words them. Codes: "Schema Registry API Reference", section Errors. */
export const failures = {
  badRequest: (message: string, cause?: unknown): SchemaRegistryError => failure(400, message, cause),
  unauthorized: (): SchemaRegistryError => failure(401, 'Unauthorized'),
  noSuchPath: (): SchemaRegistryError => failure(404, 'HTTP 404 Not Found'),
  methodNotAllowed: (): SchemaRegistryError => failure(405, 'HTTP 405 Method Not Allowed'),
  tooLarge: (maxBytes: number): SchemaRegistryError => failure(413, `Request body is larger than ${maxBytes} bytes`),
  unsupportedMediaType: (): SchemaRegistryError => failure(415, 'HTTP 415 Unsupported Media Type'),
  subjectNotFound: (subject: string): SchemaRegistryError => failure(40401, `Subject '${subject}' not found.`),
  versionNotFound: (version: number): SchemaRegistryError => failure(40402, `Version ${version} not found.`),
  schemaNotFound: (id?: number): SchemaRegistryError => failure(40403, id === undefined ? 'Schema not found' : `Schema ${id} not found`),
  subjectSoftDeleted: (subject: string): SchemaRegistryError =>
    failure(40404, `Subject '${subject}' was soft deleted.Set permanent=true to delete permanently`),
  subjectNotSoftDeleted: (subject: string): SchemaRegistryError =>
    failure(40405, `Subject '${subject}' was not deleted first before being permanently deleted`),
  versionSoftDeleted: (subject: string, version: number): SchemaRegistryError =>
    failure(40406, `Subject '${subject}' Version ${version} was soft deleted.Set permanent=true to delete permanently`),
  versionNotSoftDeleted: (subject: string, version: number): SchemaRegistryError =>
    failure(40407, `Subject '${subject}' Version ${version} was not deleted first before being permanently deleted`),
  noSubjectLevel: (subject: string): SchemaRegistryError =>
    failure(40408, `Subject '${subject}' does not have subject-level compatibility configured`),
  noSubjectMode: (subject: string): SchemaRegistryError =>
    failure(40409, `Subject '${subject}' does not have subject-level mode configured`),
  incompatible: (subject: string, level: string, messages: readonly string[]): SchemaRegistryError =>
    failure(
      409,
      `Schema being registered is incompatible with an earlier schema for subject "${subject}", details: [${messages.join(', ')}, {compatibility: '${level}'}]`,
    ),
  invalidSchema: (details: string, cause?: unknown): SchemaRegistryError => failure(42201, `Invalid schema, details: ${details}`, cause),
  invalidVersion: (version: string): SchemaRegistryError =>
    failure(
      42202,
      `The specified version '${version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
    ),
  invalidLevel: (): SchemaRegistryError =>
    failure(42203, `Invalid compatibility level. Valid values are ${COMPATIBILITY_LEVELS.join(', ').toLowerCase()}`),
  invalidMode: (): SchemaRegistryError => failure(42204, `Invalid mode. Valid values are ${MODES.join(', ')}`),
  readOnly: (subject: string | undefined): SchemaRegistryError =>
    failure(42205, subject === undefined ? 'The registry is in read-only mode' : `Subject ${subject} is in read-only mode`),
  referenceExists: (subject: string, version: number): SchemaRegistryError =>
    failure(42206, `One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=${subject},version=${version}}`),
};
