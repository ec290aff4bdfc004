import { avscTypes, type InternalType, type Resolver } from './avsc-internals.ts';
import type { LongAs } from './long-types.ts';
import type { Tap } from './tap.ts';

/** What a schema says about a logical type: `logicalType`, `precision`, `scale`, `size` … */
export type LogicalTypeAttributes = Readonly<Record<string, unknown>>;

/**
 * How values of a logical type are given to handlers and taken from them. `Raw` is what Avro's underlying type holds: a number, text,
 * bytes …
 */
export interface LogicalType<Raw, T> {
  fromAvro(raw: Raw, attributes: LogicalTypeAttributes): T;
  /** Throw for a value that does not fit; the message becomes that of an `EncodeError`. */
  toAvro(value: T, attributes: LogicalTypeAttributes): Raw;
  /** How an underlying `long` is given to these two. @default 'number' */
  readonly long?: LongAs | undefined;
  /** Attributes it cannot work with: thrown at once, when the schema is made. */
  check?(attributes: LogicalTypeAttributes): void;
}

/** Logical types by the name schemas use. A name that is not here leaves its underlying type as it is, as Avro's specification asks. */
export type LogicalTypes = Readonly<Record<string, LogicalType<unknown, unknown>>>;

/** avsc's logical types, by a definition. */
export class DefinedLogicalType extends avscTypes.LogicalType {
  readonly #definition: LogicalType<unknown, unknown>;
  readonly #attributes: LogicalTypeAttributes;

  constructor(attributes: LogicalTypeAttributes, options: object, definition: LogicalType<unknown, unknown>) {
    definition.check?.(attributes);
    super(attributes, options);
    this.#definition = definition;
    this.#attributes = attributes;
  }

  override _read(tap: Tap): unknown {
    return this.#definition.fromAvro(this.underlyingType._read(tap), this.#attributes);
  }

  override _write(tap: Tap, value: unknown): void {
    this.underlyingType._write(tap, this._toValue(value));
  }

  /** Called by avsc's own methods. */
  _fromValue(raw: unknown): unknown {
    return this.#definition.fromAvro(raw, this.#attributes);
  }

  _toValue(value: unknown): unknown {
    return this.#definition.toAvro(value, this.#attributes);
  }

  /** Whatever the underlying type can read, a writer's logical type of the same one included. */
  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    const plain = writer instanceof avscTypes.LogicalType ? writer.underlyingType : writer;
    const raw = this.underlyingType.createResolver(plain, options);
    resolver._read = (tap) => this._fromValue(raw._read(tap));
  }

  _export(schema: Record<string, unknown>): void {
    for (const [name, value] of Object.entries(this.#attributes)) schema[name] ??= value;
  }
}
