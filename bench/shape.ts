export const COMPRESSIONS = ['none', 'lz4', 'zstd'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** What the records of a run are like. */
export interface Shape {
  readonly records: number;
  /** Key and value of one record. */
  readonly recordBytes: number;
  readonly headers: number;
  readonly compression: Compression;
  /** Of each topic. */
  readonly partitions: number;
}

/** Lists of what is to be measured in every combination. */
export interface Matrix {
  readonly records: readonly number[];
  readonly recordBytes: readonly number[];
  readonly headers: readonly number[];
  readonly compression: readonly Compression[];
  readonly partitions: readonly number[];
}

/** Every combination of a matrix. */
export function shapesOf({ records, recordBytes, headers, compression, partitions }: Matrix): Shape[] {
  let shapes: Partial<Shape>[] = [{}];
  const vary = <K extends keyof Shape>(key: K, values: readonly Shape[K][]): void => {
    shapes = values.flatMap((value) => shapes.map((shape) => ({ ...shape, [key]: value })));
  };
  vary('records', records);
  vary('recordBytes', recordBytes);
  vary('headers', headers);
  vary('compression', compression);
  vary('partitions', partitions);
  return shapes as Shape[];
}

/** Short text of what tells a shape from others. */
export function shapeName({ records, recordBytes, headers, compression, partitions }: Shape): string {
  return `${records}x${recordBytes}-h${headers}-${compression}-p${partitions}`;
}

/** A mock partition drops its oldest records above 5 MB; the rest of the record's bytes is what the batch format adds. */
const MOCK_PARTITION_BYTES = 4_500_000;
const RECORD_OVERHEAD_BYTES = 16;
const HEADER_BYTES = 44;

/** The shape with no more records than `topics` topics of the mock cluster hold without compression. */
export function fitMock<S extends Shape>(shape: S, topics: number): S {
  const bytes = shape.recordBytes + RECORD_OVERHEAD_BYTES + shape.headers * HEADER_BYTES;
  const most = Math.floor((topics * shape.partitions * MOCK_PARTITION_BYTES) / bytes);
  return { ...shape, records: Math.min(shape.records, most) };
}
