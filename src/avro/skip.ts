import { avscTypes, type InternalType, type RecordField, type Resolver, type TypeInternals } from './avsc-internals.ts';
import type { Tap } from './tap.ts';

/** Fields of nested records in one compiled skip: beyond it the code grows and gains nothing. */
const MAX_INLINED_FIELDS = 256;

/** Indexes and lengths below this take one byte. */
const ONE_BYTE = 64;

type Skip = (tap: Tap) => void;

/** Types whose values hold no others: how they are skipped is written out here. */
const SIMPLE: ReadonlySet<string> = new Set([
  'null',
  'boolean',
  'int',
  'long',
  'abstract:long',
  'float',
  'double',
  'string',
  'bytes',
  'enum',
  'fixed',
]);

/**
 * avsc's records, whose resolvers skip the fields that the reader does not want by code made for them: a run of fields costs a few
 * comparisons, where avsc calls a method of each field's type.
 */
export class ProjectedRecord extends avscTypes.RecordType {
  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    super._update(resolver, writer instanceof ProjectedRecord ? this.#withRunsOfSkipped(writer) : writer, options);
  }

  /** The writer's type with one field in the place of each run of unwanted ones. */
  #withRunsOfSkipped(writer: ProjectedRecord): InternalType {
    const wanted = new Set(this.fields.flatMap(({ name, aliases }) => [name, ...aliases]));
    const fields: Pick<RecordField, 'name' | 'type'>[] = [];
    let run: SkipCode | undefined;
    const endRun = (): void => {
      // No field of Avro's has such a name.
      if (run !== undefined) fields.push({ name: `#${fields.length}`, type: { _skip: run.compile() } satisfies Skipped as InternalType });
      run = undefined;
    };
    for (const field of writer.fields) {
      if (wanted.has(field.name)) {
        endRun();
        fields.push(field);
      } else {
        run ??= new SkipCode();
        run.add(field.type);
      }
    }
    endRun();
    return Object.create(writer, { fields: { value: fields } }) as InternalType;
  }
}

type Skipped = Pick<TypeInternals, '_skip'>;

/** Writes the code that skips values of some types one behind the other, `pos` and `buf` in local variables. */
class SkipCode {
  readonly #lines: string[] = [];
  readonly #called: InternalType[] = [];
  /** Bytes that are skipped by the next line. */
  #fixed = 0;
  #fields = 0;
  readonly #within = new Set<InternalType>();

  add(type: InternalType): void {
    this.#fields++;
    switch (type.typeName) {
      case 'null':
        return;
      case 'boolean':
        this.#fixed += 1;
        return;
      case 'float':
        this.#fixed += 4;
        return;
      case 'double':
        this.#fixed += 8;
        return;
      case 'fixed':
        this.#fixed += (type as unknown as { readonly size: number }).size;
        return;
      case 'int':
      case 'enum':
      case 'long':
      case 'abstract:long':
        this.#line('while (buf[pos++] >= 0x80);');
        return;
      case 'string':
      case 'bytes':
        this.#line('if ((n = buf[pos++]) < 0x80 && (n & 1) === 0) pos += n >> 1;');
        this.#line(`else { tap.pos = pos - 1; ${this.#call(type)} }`);
        return;
      case 'record':
      case 'error':
        this.#record(type);
        return;
      default:
        if (type.typeName.startsWith('logical:')) this.add((type as unknown as { readonly underlyingType: InternalType }).underlyingType);
        else if (type.typeName.startsWith('union:')) this.#union(type);
        else this.#line(`tap.pos = pos; ${this.#call(type)}`);
    }
  }

  /** The rest of a type's own reading when a value is not of the usual kind, and the way back. */
  #call(type: InternalType): string {
    const at = this.#called.indexOf(type);
    const index = at === -1 ? this.#called.push(type) - 1 : at;
    return `t${index}._skip(tap); pos = tap.pos;`;
  }

  #record(type: InternalType): void {
    if (this.#within.has(type) || this.#fields > MAX_INLINED_FIELDS) {
      this.#line(`tap.pos = pos; ${this.#call(type)}`);
      return;
    }
    this.#within.add(type);
    for (const field of (type as unknown as { readonly fields: readonly RecordField[] }).fields) this.add(field.type);
    this.#within.delete(type);
  }

  /** Branches that hold nothing further are skipped here, all others by the type itself, which counts the levels. */
  #union(type: InternalType): void {
    const { types } = type as unknown as { readonly types: readonly InternalType[] };
    this.#line('n = buf[pos++];');
    const simple = types.flatMap((branch, index) => (index < ONE_BYTE && SIMPLE.has(branch.typeName) ? [[branch, index] as const] : []));
    for (const [branch, index] of simple) {
      this.#line(`if (n === ${index * 2}) {`);
      this.add(branch);
      this.#line('} else');
    }
    this.#line(`{ tap.pos = pos - 1; ${this.#call(type)} }`);
  }

  #line(line: string): void {
    if (this.#fixed > 0) this.#lines.push(`pos += ${this.#fixed};`);
    this.#fixed = 0;
    this.#lines.push(line);
  }

  compile(): Skip {
    this.#line('tap.pos = pos;');
    const body = `return function skip(tap) { const { buf } = tap; let { pos } = tap; let n = 0;\n${this.#lines.join('\n')}\n}`;
    // As avsc makes its readers: of schemas, whose names are not in it.
    return new Function(...this.#called.map((_, index) => `t${index}`), body)(...this.#called) as Skip;
  }
}
