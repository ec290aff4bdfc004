import { ConfigError } from '../errors.ts';
import { parseAvroType, valueKinds } from './parse-type.ts';

/** Options of {@link generateTypes}. */
export interface CodegenOptions {
  /** How a `long` is typed. @default 'number' */
  readonly long?: 'number' | 'bigint' | undefined;
  /** Type logical types as `standardLogicalTypes` give them. @default false */
  readonly logicalTypes?: boolean | undefined;
  /** Module the generated file imports from. @default 'rdkafka-toolkit' */
  readonly from?: string | undefined;
}

interface SchemaObject {
  readonly type?: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly doc?: string;
  readonly logicalType?: string;
  readonly fields?: readonly (SchemaObject & { readonly default?: unknown })[];
  readonly items?: unknown;
  readonly values?: unknown;
  readonly symbols?: readonly string[];
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  float: 'number',
  double: 'number',
  string: 'string',
  bytes: 'Buffer',
};

const LOGICAL: Readonly<Record<string, string>> = {
  decimal: 'AvroDecimal',
  date: 'Date',
  'time-millis': 'number',
  'time-micros': 'number',
  'timestamp-millis': 'Date',
  'timestamp-micros': 'bigint',
  'timestamp-nanos': 'bigint',
  'local-timestamp-millis': 'Date',
  'local-timestamp-micros': 'bigint',
  'local-timestamp-nanos': 'bigint',
  uuid: 'string',
  duration: 'AvroDuration',
};

/**
 * TypeScript types for an Avro schema, as the text of a module: an interface for each record, a union of texts for each enum, and the
 * schema itself as an `AvroSchema` of the outermost type.
 *
 * @throws ConfigError when it is no valid Avro schema
 */
export function generateTypes(schemaText: string, options: CodegenOptions = {}): string {
  parseAvroType(schemaText);
  return new Generator(options).module(JSON.parse(schemaText));
}

class Generator {
  readonly #options: CodegenOptions;
  readonly #declarations: string[] = [];
  /** Full name → name in TypeScript. */
  readonly #names = new Map<string, string>();
  /** Full name → what its values look like. */
  readonly #kinds = new Map<string, string>();
  readonly #imports = new Set<string>();

  constructor(options: CodegenOptions) {
    this.#options = options;
  }

  module(schema: unknown): string {
    const type = this.#typeOf(schema, '');
    const named = /^[A-Z]\w*$/.test(type) && [...this.#names.values()].includes(type);
    const root = named ? type : 'Value';
    if (!named) this.#declarations.push(`export type Value = ${type};`);
    const { long, logicalTypes, from = 'rdkafka-toolkit' } = this.#options;
    const settings = [
      ...(long === 'bigint' ? [`long: 'bigint'`] : []),
      ...(logicalTypes === true ? ['logicalTypes: standardLogicalTypes'] : []),
    ];
    if (logicalTypes === true) this.#imports.add('standardLogicalTypes');
    const names = ['AvroSchema', 'avroSchema', ...this.#imports].toSorted();
    const imports = names.map((name) => (name.startsWith('Avro') ? `type ${name}` : name));
    const constant = `${root.charAt(0).toLowerCase()}${root.slice(1)}Schema`;
    const given = settings.length === 0 ? '' : `, { ${settings.join(', ')} }`;
    return [
      `import { ${imports.join(', ')} } from '${from}';`,
      ...this.#declarations,
      `export const ${constant}: AvroSchema<${root}> = avroSchema(${JSON.stringify(schema, undefined, 2)}${given});\n`,
    ].join('\n\n');
  }

  #typeOf(schema: unknown, namespace: string): string {
    if (typeof schema === 'string') return this.#reference(schema, namespace);
    if (Array.isArray(schema)) return this.#union(schema, namespace);
    const attributes = schema as SchemaObject;
    const { type, logicalType } = attributes;
    if (this.#options.logicalTypes === true && logicalType !== undefined && Object.hasOwn(LOGICAL, logicalType)) {
      const logical = LOGICAL[logicalType]!;
      if (logical.startsWith('Avro')) this.#imports.add(logical);
      if (attributes.name !== undefined) this.#define(attributes, namespace, logical, 'logical');
      return logical;
    }
    if (type === 'record' || type === 'error') return this.#record(attributes, namespace);
    if (type === 'enum') return this.#enum(attributes, namespace);
    if (type === 'fixed') {
      this.#define(attributes, namespace, 'Buffer', 'buffer');
      return 'Buffer';
    }
    if (type === 'array') return list(this.#typeOf(attributes.items, namespace));
    if (type === 'map') return `{ [key: string]: ${this.#typeOf(attributes.values, namespace)} }`;
    return this.#typeOf(type, namespace);
  }

  #reference(name: string, namespace: string): string {
    if (Object.hasOwn(PRIMITIVES, name)) return PRIMITIVES[name]!;
    if (name === 'long') return this.#options.long ?? 'number';
    const known = this.#names.get(this.#resolve(name, namespace));
    if (known === undefined) throw new ConfigError([`Expected the type ${name} to be defined before it is used`]);
    return known;
  }

  /** One whose branches look alike is given with their names: `{ int: 1 }`. */
  #union(branches: readonly unknown[], namespace: string): string {
    const types = branches.map((branch) => this.#typeOf(branch, namespace));
    const kinds = branches.map((branch) => this.#kindOf(branch, namespace)).filter((kind) => kind !== undefined);
    if (new Set(kinds).size === kinds.length) return [...new Set(types)].join(' | ');
    const wrapped = branches.map((branch, index) => {
      if (branch === 'null') return 'null';
      return `{ ${JSON.stringify(this.#branchName(branch, namespace))}: ${types[index]} }`;
    });
    return wrapped.join(' | ');
  }

  /** Undefined for a logical type, which tells by itself what is its own. */
  #kindOf(branch: unknown, namespace: string): string | undefined {
    const attributes = (typeof branch === 'string' ? { type: branch } : branch) as SchemaObject;
    const { type, logicalType } = attributes;
    if (this.#options.logicalTypes === true && logicalType !== undefined && Object.hasOwn(LOGICAL, logicalType)) return undefined;
    // `abstract:long` of avsc: a bigint is no number.
    if (type === 'long' && this.#options.long === 'bigint') return 'bigint';
    const word = String(type);
    if (Object.hasOwn(valueKinds, word)) return valueKinds[word];
    return this.#kinds.get(this.#resolve(word, namespace)) ?? word;
  }

  #branchName(branch: unknown, namespace: string): string {
    if (typeof branch === 'string') return this.#resolve(branch, namespace);
    const attributes = branch as SchemaObject;
    return attributes.name === undefined ? String(attributes.type) : fullName(attributes, namespace);
  }

  /** A name as it was defined. */
  #resolve(name: string, namespace: string): string {
    const qualified = name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
    return this.#names.has(qualified) ? qualified : name;
  }

  #record(attributes: SchemaObject, outer: string): string {
    const full = fullName(attributes, outer);
    const name = this.#define(attributes, outer, this.#free(full), 'object');
    const namespace = full.includes('.') ? full.slice(0, full.lastIndexOf('.')) : '';
    const place = this.#declarations.push('') - 1;
    const fields = attributes.fields!.map((field) => {
      const doc = field.doc === undefined ? '' : `  /** ${comment(field.doc)} */\n`;
      return `${doc}  ${field.name}: ${this.#typeOf(field.type, namespace)};`;
    });
    const body =
      fields.length === 0 ? `export type ${name} = Record<string, never>;` : `export interface ${name} {\n${fields.join('\n')}\n}`;
    this.#declarations[place] = `${attributes.doc === undefined ? '' : `/** ${comment(attributes.doc)} */\n`}${body}`;
    return name;
  }

  #enum(attributes: SchemaObject, namespace: string): string {
    const name = this.#define(attributes, namespace, this.#free(fullName(attributes, namespace)), 'string');
    this.#declarations.push(`export type ${name} = ${attributes.symbols!.map((symbol) => `'${symbol}'`).join(' | ')};`);
    return name;
  }

  #define(attributes: SchemaObject, namespace: string, type: string, kind: string): string {
    const full = fullName(attributes, namespace);
    this.#names.set(full, type);
    this.#kinds.set(full, kind);
    return type;
  }

  /** A name for a type that no other has: two namespaces may have one of the same. */
  #free(full: string): string {
    const base = full.slice(full.lastIndexOf('.') + 1);
    const capital = base.charAt(0).toUpperCase() + base.slice(1);
    const taken = new Set(this.#names.values());
    let name = capital;
    for (let number = 2; taken.has(name); number++) name = `${capital}${number}`;
    return name;
  }
}

function fullName({ name, namespace }: SchemaObject, outer: string): string {
  if (name!.includes('.')) return name!;
  const space = namespace ?? outer;
  return space === '' ? name! : `${space}.${name}`;
}

const list = (item: string): string => (/^\w+$/.test(item) ? `${item}[]` : `(${item})[]`);
const comment = (doc: string): string => doc.replaceAll('*/', '*\\/').replaceAll(/\s*\n\s*/g, ' ');
