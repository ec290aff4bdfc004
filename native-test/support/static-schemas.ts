import type { RegisteredSchema, SchemaSource } from '../../src/serde.ts';

/** A registry that has one schema, under every id and subject. */
export function staticSchemas(text: string, id = 1): SchemaSource {
  const registered: RegisteredSchema = { id, text, references: [] };
  const answer = (): Promise<number> => Promise.resolve(id);
  return {
    peek: () => registered,
    peekUnknown: () => undefined,
    schema: () => Promise.resolve(registered),
    register: answer,
    lookup: answer,
  };
}
