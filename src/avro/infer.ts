import type { AvroDecimal } from './decimal.ts';
import type { AvroDuration } from './logical-types.ts';

/** What Avro's types become where nothing else is asked for. */
interface Primitives {
  readonly null: null;
  readonly boolean: boolean;
  readonly int: number;
  readonly float: number;
  readonly double: number;
  readonly string: string;
  readonly bytes: Buffer;
}

/** What `standardLogicalTypes` make of their underlying types. */
interface StandardLogical {
  readonly decimal: AvroDecimal;
  readonly date: Date;
  readonly 'time-millis': number;
  readonly 'time-micros': number;
  readonly 'timestamp-millis': Date;
  readonly 'timestamp-micros': bigint;
  readonly 'timestamp-nanos': bigint;
  readonly 'local-timestamp-millis': Date;
  readonly 'local-timestamp-micros': bigint;
  readonly 'local-timestamp-nanos': bigint;
  readonly uuid: string;
  readonly duration: AvroDuration;
}

/** How longs and logical types are given, as types: what `defineSchema` reads off its options. */
export interface InferAs {
  readonly long: unknown;
  readonly logical: object;
}

/** Every record, enum and fixed of a schema, which others may refer to by name. */
type Named<S> = S extends { readonly type: 'record'; readonly name: string; readonly fields: infer F }
  ? S | (F extends readonly { readonly type: unknown }[] ? Named<F[number]['type']> : never)
  : S extends { readonly type: 'enum' | 'fixed'; readonly name: string }
    ? S
    : S extends readonly unknown[]
      ? Named<S[number]>
      : S extends { readonly items: infer I }
        ? Named<I>
        : S extends { readonly values: infer V }
          ? Named<V>
          : S extends { readonly type: infer T extends object }
            ? Named<T>
            : never;

/** A name as it is used: with its namespace or without. */
type Unqualified<N> = N extends `${string}.${infer Rest}` ? Unqualified<Rest> : N;

type ByName<N extends string, Root> =
  Extract<Named<Root>, { readonly name: N | Unqualified<N> }> extends infer Found ? ([Found] extends [never] ? unknown : Found) : never;

type Fields<F extends readonly unknown[], Root, As extends InferAs> = {
  -readonly [Field in F[number] as Field extends { readonly name: infer N extends string } ? N : never]: Field extends {
    readonly type: infer T;
  }
    ? Infer<T, Root, As>
    : never;
};

type NamedType<N extends string, Root, As extends InferAs> = N extends keyof Primitives
  ? Primitives[N]
  : N extends 'long'
    ? As['long']
    : unknown extends ByName<N, Root>
      ? unknown
      : Infer<ByName<N, Root>, Root, As>;

/** The TypeScript type of a schema's values. */
export type Infer<S, Root, As extends InferAs> = S extends { readonly logicalType: infer L extends keyof As['logical'] }
  ? As['logical'][L]
  : S extends string
    ? NamedType<S, Root, As>
    : S extends readonly unknown[]
      ? Infer<S[number], Root, As>
      : S extends { readonly type: 'record'; readonly fields: infer F extends readonly unknown[] }
        ? Fields<F, Root, As>
        : S extends { readonly type: 'array'; readonly items: infer I }
          ? Infer<I, Root, As>[]
          : S extends { readonly type: 'map'; readonly values: infer V }
            ? { [key: string]: Infer<V, Root, As> }
            : S extends { readonly type: 'enum'; readonly symbols: infer E extends readonly string[] }
              ? E[number]
              : S extends { readonly type: 'fixed' }
                ? Buffer
                : S extends { readonly type: infer T }
                  ? Infer<T, Root, As>
                  : unknown;

/** What options say about the types: bigints or numbers, logical types or what is under them. */
export type AsOptions<O> = {
  readonly long: O extends { readonly long: 'bigint' } ? bigint : number;
  readonly logical: O extends { readonly logicalTypes: infer L }
    ? { readonly [Name in keyof L]: Name extends keyof StandardLogical ? StandardLogical[Name] : FromAvro<L[Name]> }
    : Record<never, never>;
};

type FromAvro<L> = L extends { fromAvro(...given: never[]): infer T } ? T : unknown;
