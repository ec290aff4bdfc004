/** What a metrics manager adds to each record, in nanoseconds: counting alone, and around a handler that does nothing. */
import { MetricsManager } from 'rdkafka-toolkit';

const CALLS = 20_000_000;
const REPEATS = 7;

const metrics = new MetricsManager({ app: 'bench', job: 'bench' });
let handled = 0;
const handler = (input: number): void => {
  handled += input;
};
const measured = metrics.wrapHandler(handler);

/** The loop itself, and the call of a handler, are what the others are compared with. */
const subjects: readonly (readonly [name: string, work: (calls: number) => void, without: (calls: number) => void])[] = [
  ['incMessagesConsumed(1)', countEach, loop],
  ['incMessagesConsumed(1) and a measured handler', countAndHandle, handle],
];

function loop(calls: number): void {
  for (let call = 0; call < calls; call++) handled += 1;
}

function countEach(calls: number): void {
  for (let call = 0; call < calls; call++) {
    handled += 1;
    metrics.incMessagesConsumed(1);
  }
}

function handle(calls: number): void {
  for (let call = 0; call < calls; call++) handler(1);
}

function countAndHandle(calls: number): void {
  for (let call = 0; call < calls; call++) {
    metrics.incMessagesConsumed(1);
    measured(1);
  }
}

function nanosecondsOf(work: (calls: number) => void): number {
  const startedAt = performance.now();
  work(CALLS);
  return ((performance.now() - startedAt) * 1e6) / CALLS;
}

for (const [name, work, without] of subjects) {
  const costs = Array.from({ length: REPEATS }, () => nanosecondsOf(work) - nanosecondsOf(without)).toSorted((a, b) => a - b);
  process.stdout.write(
    `${name}: ${costs[(REPEATS - 1) / 2]!.toFixed(1)} ns a record (${costs[0]!.toFixed(1)} to ${costs.at(-1)!.toFixed(1)})\n`,
  );
}
process.exitCode = handled > 0 ? 0 : 1;
