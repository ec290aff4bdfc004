import { MetricsManager } from 'rdkafka-toolkit';
import type { Bench } from 'tinybench';
import { ROUND } from './round.ts';

export function addMetricsTasks(bench: Bench): void {
  const metrics = new MetricsManager({ app: 'bench', job: 'bench' });
  let handled = 0;
  const handler = (input: number): void => {
    handled += input;
  };
  const measured = metrics.wrapHandler(handler);
  bench.add('metrics: a handler without any', () => {
    for (let call = 0; call < ROUND; call++) handler(1);
    return handled;
  });
  bench.add('metrics: incMessagesConsumed(1)', () => {
    for (let call = 0; call < ROUND; call++) metrics.incMessagesConsumed(1);
  });
  bench.add('metrics: a measured handler', () => {
    for (let call = 0; call < ROUND; call++) measured(1);
    return handled;
  });
}
