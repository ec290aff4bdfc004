import { MetricsManager, MetricsPusher, startPushingMetrics } from 'rdkafka-toolkit';
import { type Job, varsOf } from './job.ts';

/** Ten times as often as by default, so that runs of seconds have some. */
const PUSH_SECONDS = 1;

/** A port nobody listens at: pushes are made and refused, and cost nobody else's CPU. */
const REFUSED_PORT = 9;

/** The metrics of a contender that is measured with them; undefined for all others. */
export function startMetrics(job: Job): MetricsManager | undefined {
  if (job.client !== 'rdkafka-toolkit-metrics') return undefined;
  const metricsPusher = new MetricsPusher('bench', '127.0.0.1', REFUSED_PORT, REFUSED_PORT);
  const metrics = new MetricsManager({ app: 'bench', job: 'bench', metricsPusher });
  startPushingMetrics(metrics, PUSH_SECONDS, { vars: varsOf(job) });
  return metrics;
}
