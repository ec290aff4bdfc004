import { readFileSync } from 'node:fs';
import { ConfigError } from '../errors.ts';

/**
 * Makes something of the schema in a file.
 *
 * @throws ConfigError that names the file, when it cannot be read or `make` says that it holds no valid schema
 */
export function fromSchemaFile<T>(file: string, make: (text: string) => T): T {
  try {
    const text = readFileSync(file, 'utf8');
    // Else a text that is no JSON would be taken for the name of a type.
    JSON.parse(text);
    return make(text);
  } catch (cause) {
    const reason = cause instanceof ConfigError ? cause.faults.join('; ') : cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([`Expected ${file} to be a file with an Avro schema: ${reason}`], { cause });
  }
}
