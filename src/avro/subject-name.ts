import type { SerializeContext } from '../serde.ts';
import type { AvroSchema } from './schema.ts';

/**
 * Which subject a schema is registered under, Confluent's strategies by name: `topic`: `<topic>-value` or `<topic>-key`; `record`: the
 * schema's full name; `topic-record`: `<topic>-<full name>`. Or a function of your own.
 */
export type SubjectNameStrategy =
  | 'topic'
  | 'record'
  | 'topic-record'
  | ((context: SerializeContext, schema: AvroSchema<unknown>) => string);

/** The subject of a schema for a topic's keys or values. */
export function subjectName(strategy: SubjectNameStrategy, context: SerializeContext, schema: AvroSchema<unknown>): string {
  if (typeof strategy === 'function') return strategy(context, schema);
  const { topic, isKey } = context;
  if (strategy === 'topic') return `${topic}-${isKey ? 'key' : 'value'}`;
  // A schema without a name is known by its type: `string`.
  const name = schema.type.name ?? schema.type.typeName;
  return strategy === 'record' ? name : `${topic}-${name}`;
}
