import { Presets, SingleBar } from 'cli-progress';

/** Shows how far a step is. */
export interface Progress {
  update(done: number): void;
  /** Ends the step with a line. */
  end(): void;
}

/** A bar is drawn at most so often as this many records allow: the hot loops call for each. */
const UPDATE_EVERY_RECORDS = 1_000;

/** A progress bar on a terminal; elsewhere, under `CI` or with `NO_COLOR`, a line at the end of the step and nothing before. */
export function startProgress(label: string, total: number): Progress {
  const { NO_COLOR, CI, TERM } = process.env;
  const isTerminal = process.stdout.isTTY === true && !NO_COLOR && !CI && TERM !== 'dumb';
  const startMs = performance.now();
  const bar = isTerminal
    ? new SingleBar(
        { stream: process.stdout, format: `${label} [{bar}] {percentage}% {value}/{total}`, clearOnComplete: true, hideCursor: true },
        Presets.shades_classic,
      )
    : undefined;
  bar?.start(total, 0);
  let last = 0;
  return {
    update(done) {
      last = done;
      if (bar !== undefined && done % UPDATE_EVERY_RECORDS === 0) bar.update(done);
    },
    end() {
      bar?.stop();
      console.log(`${label}: ${last} of ${total} records in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    },
  };
}
