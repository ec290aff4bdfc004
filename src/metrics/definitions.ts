/** What a metric of the toolkit is, before it has values. */
export interface MetricDefinition {
  /** Plain, as the original Python library named them; counters may get `_total` (`counterNames`). */
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Besides `app` and `job`, which all have. */
  readonly labels: readonly string[];
}

/** How counters are called: as the original called them, or with the suffix that Prometheus recommends. */
export type CounterNames = 'plain' | 'total';

function counter(name: string, help: string, ...labels: string[]): MetricDefinition {
  return { name, type: 'counter', help, labels };
}

function gauge(name: string, help: string, ...labels: string[]): MetricDefinition {
  return { name, type: 'gauge', help, labels };
}

function histogram(name: string, help: string, ...labels: string[]): MetricDefinition {
  return { name, type: 'histogram', help, labels };
}

/** Counted by the patterns and by the application; they go on counting in pushes while the event loop is blocked. */
export const countDefinitions: Readonly<
  Record<'consumed' | 'produced' | 'errors' | 'retried' | 'deadLettered' | 'decodeErrors', MetricDefinition>
> = {
  consumed: counter('messages_consumed', 'Records consumed.'),
  produced: counter('messages_produced', 'Records produced.'),
  errors: counter('message_errors', 'Errors, by the class of the error.', 'exception'),
  retried: counter('messages_retried', 'Records that are tried again after an error.'),
  deadLettered: counter('messages_dead_lettered', 'Records that were put into a dead-letter topic.'),
  decodeErrors: counter('message_decode_errors', 'Records that could not be decoded.'),
};

/** Of handlers that `wrapHandler` measures, which the runners do by themselves. */
export const handlerDefinitions: Readonly<Record<'seconds' | 'batchRecords', MetricDefinition>> = {
  seconds: histogram('message_handler_seconds', 'Time of a call of the handler, of a sample of the calls.'),
  batchRecords: histogram('message_batch_records', 'Records of a batch given to the handler.'),
};

/** Of the clients that are watched. */
export const clientDefinitions: Readonly<
  Record<
    | 'secondsBehind'
    | 'lag'
    | 'handedOver'
    | 'inFlight'
    | 'partitions'
    | 'rebalances'
    | 'stalls'
    | 'commitErrors'
    | 'blocked'
    | 'producerInFlight'
    | 'deliveryErrors',
    MetricDefinition
  >
> = {
  secondsBehind: gauge(
    'seconds_behind',
    'Age of the last record handed over, 0 when no further one is known.',
    'group',
    'topic',
    'partition',
  ),
  lag: gauge('consumer_lag_records', 'Records known in the partition and not handed over.', 'group', 'topic', 'partition'),
  handedOver: counter('consumer_records', 'Records handed over since the partition was assigned.', 'group', 'topic', 'partition'),
  inFlight: gauge('consumer_in_flight_records', 'Records handed over and not finished.', 'group'),
  partitions: gauge('consumer_assigned_partitions', 'Partitions assigned.', 'group'),
  rebalances: counter('consumer_rebalances', 'Rebalances, by what they did: assigned, revoked or lost.', 'group', 'event'),
  stalls: counter('consumer_stalls', 'Times without progress although there were records, by reason.', 'group', 'reason'),
  commitErrors: counter('consumer_commit_errors', 'Commits that were refused.', 'group'),
  blocked: counter('consumer_event_loop_blocked_seconds', 'Time in which the event loop was blocked for a second or longer.', 'group'),
  producerInFlight: gauge('producer_in_flight_records', 'Records produced whose delivery report is outstanding.'),
  deliveryErrors: counter('producer_delivery_errors', 'Records that were not delivered.'),
};

/** Of worker pools that are watched. */
export const poolDefinitions: Readonly<Record<'queued' | 'running' | 'mode', MetricDefinition>> = {
  queued: gauge('pool_queued', 'Tasks that wait for a worker.', 'pool'),
  running: gauge('pool_running', 'Tasks that workers are at.', 'pool'),
  mode: gauge('pool_mode', '1 for the mode the pool works in now.', 'pool', 'mode'),
};

/** Of the pushing itself. */
export const pushDefinitions: Readonly<
  Record<'targets' | 'pushes' | 'failures' | 'skipped' | 'lastSuccess' | 'duration' | 'snapshotAge', MetricDefinition>
> = {
  targets: gauge('metrics_push_targets', 'Pods of the metrics cache known by the last resolution.'),
  pushes: counter('metrics_pushes', 'Pushes to a pod that were accepted.'),
  failures: counter('metrics_push_failures', 'Pushes to a pod that failed, and resolutions, by reason.', 'reason'),
  skipped: counter('metrics_push_skipped', 'Pushes left out because one to the same pod was under way or the pod had failed lately.'),
  lastSuccess: gauge('metrics_push_last_success_timestamp_seconds', 'When a pod last accepted a push; 0 before that.'),
  duration: gauge('metrics_push_duration_seconds', 'How long the last accepted push took.'),
  snapshotAge: gauge('metrics_snapshot_age_seconds', 'Age of what was pushed besides counts: grows while the event loop is blocked.'),
};

/** Every metric of the toolkit but those made of librdkafka's statistics. */
export const metricDefinitions: readonly MetricDefinition[] = [
  countDefinitions,
  handlerDefinitions,
  clientDefinitions,
  poolDefinitions,
  pushDefinitions,
].flatMap((group) => Object.values(group));

/** A metric's name as it is exposed. */
export function exposedName({ name, type }: Pick<MetricDefinition, 'name' | 'type'>, counterNames: CounterNames): string {
  return type === 'counter' && counterNames === 'total' ? `${name}_total` : name;
}
