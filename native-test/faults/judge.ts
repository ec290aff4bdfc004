import type { Verdict } from './verify.ts';

/** What at-least-once delivery with a bound on duplicates forbids. */
export function judge(verdict: Verdict, duplicateBound: number | undefined): string[] {
  const { records, lost, duplicates, outOfOrder, unknown, samples } = verdict;
  const failures: string[] = [];
  if (records === 0) failures.push('No input was acknowledged: nothing was tested');
  if (lost > 0) failures.push(`${lost} acknowledged records are lost`);
  if (outOfOrder > 0) failures.push(`${outOfOrder} records are out of order`);
  if (unknown > 0) failures.push(`${unknown} outputs belong to no input`);
  if (duplicateBound !== undefined && duplicates > duplicateBound) {
    failures.push(`${duplicates} duplicates are more than ${duplicateBound}`);
  }
  return failures.length === 0 ? failures : [...failures, ...samples];
}
