import { ConfigError } from '../errors.ts';

/** A stretch of time; `end` is not in it. Milliseconds since the epoch. */
export interface TimeWindow {
  readonly start: number;
  readonly end: number;
}

/** How time is cut. Made by {@link tumbling}, {@link hopping} or {@link sliding}. */
export interface WindowKind {
  readonly kind: 'tumbling' | 'hopping' | 'sliding';
  readonly sizeMs: number;
  /** From one window's start to the next one's; 0 for a sliding window. */
  readonly stepMs: number;
  /** How long a window takes late records, after its end. */
  readonly graceMs: number;
}

/** Options of every window. */
export interface WindowOptions {
  /** How long a window takes records that come late, in seconds. @default 0 */
  readonly graceSeconds?: number | undefined;
}

function checked(kind: WindowKind): WindowKind {
  const faults = Object.entries({ size: kind.sizeMs, step: kind.stepMs, grace: kind.graceMs })
    .filter(([name, ms]) => !(Number.isFinite(ms) && (name === 'size' ? ms > 0 : ms >= 0)))
    .map(([name, ms]) => `Expected the ${name} of a window to be a number of seconds, got ${ms / 1000}`);
  if (faults.length > 0) throw new ConfigError(faults);
  return Object.freeze(kind);
}

/** Windows side by side: each moment is in one. Aligned to the epoch. */
export function tumbling(sizeSeconds: number, { graceSeconds = 0 }: WindowOptions = {}): WindowKind {
  return checked({ kind: 'tumbling', sizeMs: sizeSeconds * 1000, stepMs: sizeSeconds * 1000, graceMs: graceSeconds * 1000 });
}

/** Windows that overlap: one begins every `stepSeconds`. Aligned to the epoch. */
export function hopping(sizeSeconds: number, stepSeconds: number, { graceSeconds = 0 }: WindowOptions = {}): WindowKind {
  if (!(stepSeconds > 0 && stepSeconds <= sizeSeconds)) {
    throw new ConfigError([
      `Expected the step of a hopping window to be above 0 and at most its size of ${sizeSeconds} s, got ${stepSeconds}`,
    ]);
  }
  return checked({ kind: 'hopping', sizeMs: sizeSeconds * 1000, stepMs: stepSeconds * 1000, graceMs: graceSeconds * 1000 });
}

/** The last `sizeSeconds` before each moment that is asked about. Keeps the items themselves, so keep it small. */
export function sliding(sizeSeconds: number, { graceSeconds = 0 }: WindowOptions = {}): WindowKind {
  return checked({ kind: 'sliding', sizeMs: sizeSeconds * 1000, stepMs: 0, graceMs: graceSeconds * 1000 });
}

/** The tumbling or hopping windows a moment is in, the earliest first. */
export function windowsOf({ sizeMs, stepMs }: WindowKind, timestamp: number): TimeWindow[] {
  const windows: TimeWindow[] = [];
  const last = Math.floor(timestamp / stepMs) * stepMs;
  for (let start = last; start > timestamp - sizeMs; start -= stepMs) windows.unshift({ start, end: start + sizeMs });
  return windows;
}
