import type { FaultContext } from './context.ts';
import type { Verdict } from './verify.ts';

/** What a run of a fault gave. */
export interface Outcome {
  /** How often the fault was injected: kills, signals, rebalances, cycles. */
  readonly injected: number;
  readonly verdict?: Verdict | undefined;
  /** Outputs that may come twice, in all. Undefined where it is not judged. */
  readonly duplicateBound?: number | undefined;
  /** What did not hold, a sentence each; none: it passed. */
  readonly failures: readonly string[];
  /** What was measured, for a reader. */
  readonly notes?: readonly string[] | undefined;
}

/** One fault and what must hold under it. */
export interface Fault {
  /** Its row in the matrix, and what of it: `2-async`. */
  readonly id: string;
  readonly description: string;
  /** After so many seconds it fails. */
  readonly limitSeconds: (context: FaultScale) => number;
  /** False: part of the long form only. @default true */
  readonly short?: boolean | undefined;
  readonly run: (context: FaultContext) => Promise<Outcome>;
}

/** How much of a fault there is to be. */
export interface FaultScale {
  /** The long form: the numbers to reach, hours rather than minutes. */
  readonly long: boolean;
  readonly soakMinutes: number;
}
