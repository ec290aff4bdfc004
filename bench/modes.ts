/** What a contender does with records; `bench/README.md` describes each. */
export const MODES = [
  'async',
  'iterate',
  'sync',
  'batch',
  'copy',
  'pipeline',
  'pool',
  'pool-heavy',
  'decode',
  'projection',
  'produce',
  'produce-batch',
  'latency',
  'batch-timeout',
  'concurrent',
  'transaction',
  'stream',
] as const;

/** `read` is for `bench tune` alone: any topic, nothing known of its records. */
export type Mode = (typeof MODES)[number] | 'read';

/** What is measured when no mode is asked for. */
export const DEFAULT_MODES: readonly Mode[] = ['async', 'sync', 'batch', 'pool', 'pipeline', 'produce'];

/** What the topics of a mode hold before its clock starts: bench records, Avro values, or nothing. */
export type InputKind = 'raw' | 'avro' | 'none';

const INPUTS: Partial<Record<Mode, InputKind>> = {
  pipeline: 'avro',
  pool: 'avro',
  'pool-heavy': 'avro',
  decode: 'avro',
  projection: 'avro',
  produce: 'none',
  'produce-batch': 'none',
  latency: 'none',
  'batch-timeout': 'none',
  concurrent: 'none',
};

export function inputOf(mode: Mode): InputKind {
  return INPUTS[mode] ?? 'raw';
}

/** Modes measured at each of `--rates`, records a second. */
export function hasRate(mode: Mode): boolean {
  return mode === 'latency' || mode === 'batch-timeout';
}
