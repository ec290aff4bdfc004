/** How the bytes of a key or value are shown. `auto`: Avro where they look like it and there is a registry, else text, else base64. */
export const fieldFormats = ['auto', 'avro', 'json', 'text', 'base64'] as const;
export type FieldFormat = (typeof fieldFormats)[number];
