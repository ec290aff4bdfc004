/** Calls or records in one sample of tinybench, whose clock is too coarse for a single one. */
export const ROUND = 1_000;
