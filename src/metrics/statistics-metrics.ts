import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { BrokerStatistics, PartitionStatistics, Statistics, StatisticsWindow } from '../client/events.ts';
import type { MetricFamily, Sample } from './exposition.ts';

/** librdkafka counts time in microseconds, brokers' throttling in milliseconds. */
const MICROSECONDS = 1e-6;
const MILLISECONDS = 1e-3;

/** How one number of the statistics becomes a metric. The names are those of the exporters there are, times in seconds. */
interface StatisticMetric<Source> {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly value: (source: Source) => number;
}

function count<Source>(name: string, help: string, value: (source: Source) => number): StatisticMetric<Source> {
  return { name: `rdkafka_${name}`, type: 'counter', help, value };
}

function level<Source>(name: string, help: string, value: (source: Source) => number): StatisticMetric<Source> {
  return { name: `rdkafka_${name}`, type: 'gauge', help, value };
}

const clientMetrics: readonly StatisticMetric<Statistics>[] = [
  level('replyq', 'Events that wait for the application.', ({ replyq }) => replyq),
  level('msg_cnt', "Records in the producer's queues.", ({ msg_cnt }) => msg_cnt),
  level('msg_size', "Bytes in the producer's queues.", ({ msg_size }) => msg_size),
  level('msg_max', "Most records the producer's queues take.", ({ msg_max }) => msg_max),
  level('msg_size_max', "Most bytes the producer's queues take.", ({ msg_size_max }) => msg_size_max),
  count('tx', 'Requests sent.', ({ tx }) => tx),
  count('tx_bytes', 'Bytes sent.', ({ tx_bytes }) => tx_bytes),
  count('rx', 'Responses received.', ({ rx }) => rx),
  count('rx_bytes', 'Bytes received.', ({ rx_bytes }) => rx_bytes),
  count('txmsgs', 'Records produced.', ({ txmsgs }) => txmsgs),
  count('txmsg_bytes', 'Bytes of records produced.', ({ txmsg_bytes }) => txmsg_bytes),
  count('rxmsgs', 'Records consumed.', ({ rxmsgs }) => rxmsgs),
  count('rxmsg_bytes', 'Bytes of records consumed.', ({ rxmsg_bytes }) => rxmsg_bytes),
  level('cgrp_rebalance_age_seconds', 'Time since the last rebalance.', ({ cgrp }) => (cgrp?.rebalance_age ?? -1) * MILLISECONDS),
  count('cgrp_rebalance_cnt', 'Rebalances.', ({ cgrp }) => cgrp?.rebalance_cnt ?? -1),
  level('cgrp_assignment_size', 'Partitions assigned.', ({ cgrp }) => cgrp?.assignment_size ?? -1),
];

function windows(
  name: string,
  what: string,
  unit: number,
  window: (broker: BrokerStatistics) => StatisticsWindow | undefined,
): StatisticMetric<BrokerStatistics>[] {
  const figure = (field: 'avg' | 'p99' | 'max', text: string): StatisticMetric<BrokerStatistics> =>
    level(`broker_${name}_${field}_seconds`, `${what}, ${text} of the last interval.`, (broker) => {
      const values = window(broker);
      return values === undefined || values.cnt === 0 ? -1 : values[field] * unit;
    });
  return [figure('avg', 'average'), figure('p99', '99th percentile'), figure('max', 'longest')];
}

const brokerMetrics: readonly StatisticMetric<BrokerStatistics>[] = [
  level('broker_state', '1 while the connection is up, else 0.', ({ state }) => Number(state === 'UP' || state === 'UPDATE')),
  level('broker_stateage_seconds', 'Time since the state of the connection changed.', ({ stateage }) => stateage * MICROSECONDS),
  level('broker_outbuf_cnt', 'Requests that wait to be sent.', ({ outbuf_cnt }) => outbuf_cnt),
  level('broker_outbuf_msg_cnt', 'Records in them.', ({ outbuf_msg_cnt }) => outbuf_msg_cnt),
  level('broker_waitresp_cnt', 'Requests that wait for their response.', ({ waitresp_cnt }) => waitresp_cnt),
  level('broker_waitresp_msg_cnt', 'Records in them.', ({ waitresp_msg_cnt }) => waitresp_msg_cnt),
  count('broker_tx', 'Requests sent.', ({ tx }) => tx),
  count('broker_txbytes', 'Bytes sent.', ({ txbytes }) => txbytes),
  count('broker_txerrs', 'Errors while sending.', ({ txerrs }) => txerrs),
  count('broker_txretries', 'Requests sent again.', ({ txretries }) => txretries),
  count('broker_req_timeouts', 'Requests that timed out.', ({ req_timeouts }) => req_timeouts),
  count('broker_rx', 'Responses received.', ({ rx }) => rx),
  count('broker_rxbytes', 'Bytes received.', ({ rxbytes }) => rxbytes),
  count('broker_rxerrs', 'Errors while receiving.', ({ rxerrs }) => rxerrs),
  count('broker_connects', 'Attempts to connect.', ({ connects }) => connects),
  count('broker_disconnects', 'Connections that ended.', ({ disconnects }) => disconnects),
  ...windows('rtt', 'Round-trip time', MICROSECONDS, ({ rtt }) => rtt),
  ...windows('int_latency', 'Time records wait in the queue', MICROSECONDS, ({ int_latency }) => int_latency),
  ...windows('outbuf_latency', 'Time requests wait to be sent', MICROSECONDS, ({ outbuf_latency }) => outbuf_latency),
  ...windows('throttle', 'Time the broker throttled', MILLISECONDS, ({ throttle }) => throttle),
];

const consumerPartitionMetrics: readonly StatisticMetric<PartitionStatistics>[] = [
  level(
    'topic_partition_consumer_lag',
    'Records between the committed offset and the end of the partition.',
    ({ consumer_lag }) => consumer_lag,
  ),
  level(
    'topic_partition_consumer_lag_stored',
    'Records between the stored offset and the end of the partition.',
    ({ consumer_lag_stored }) => consumer_lag_stored,
  ),
  level('topic_partition_lo_offset', 'First offset of the partition.', ({ lo_offset }) => lo_offset),
  level('topic_partition_hi_offset', 'Next offset of the partition.', ({ hi_offset }) => hi_offset),
  level('topic_partition_ls_offset', 'Last stable offset of the partition.', ({ ls_offset }) => ls_offset),
  level('topic_partition_app_offset', 'Next offset to be handed to the application.', ({ app_offset }) => app_offset),
  level('topic_partition_stored_offset', 'Offset stored.', ({ stored_offset }) => stored_offset),
  level('topic_partition_committed_offset', 'Offset committed.', ({ committed_offset }) => committed_offset),
  level('topic_partition_fetchq_cnt', 'Records fetched ahead.', ({ fetchq_cnt }) => fetchq_cnt),
  level('topic_partition_fetchq_size', 'Bytes fetched ahead.', ({ fetchq_size }) => fetchq_size),
  count('topic_partition_rxmsgs', 'Records consumed.', ({ rxmsgs }) => rxmsgs),
  count('topic_partition_rxbytes', 'Bytes consumed.', ({ rxbytes }) => rxbytes),
];

const producerPartitionMetrics: readonly StatisticMetric<PartitionStatistics>[] = [
  level('topic_partition_msgq_cnt', 'Records that wait to be put into a request.', ({ msgq_cnt }) => msgq_cnt),
  level('topic_partition_msgq_bytes', 'Bytes of them.', ({ msgq_bytes }) => msgq_bytes),
  level('topic_partition_xmit_msgq_cnt', 'Records ready to be sent.', ({ xmit_msgq_cnt }) => xmit_msgq_cnt),
  level('topic_partition_xmit_msgq_bytes', 'Bytes of them.', ({ xmit_msgq_bytes }) => xmit_msgq_bytes),
  level('topic_partition_msgs_inflight', 'Records sent and not acknowledged.', ({ msgs_inflight }) => msgs_inflight),
  count('topic_partition_txmsgs', 'Records produced.', ({ txmsgs }) => txmsgs),
  count('topic_partition_txbytes', 'Bytes produced.', ({ txbytes }) => txbytes),
];

/** Names and meanings of the metrics that are made of librdkafka's statistics. */
export const statisticDefinitions: readonly Pick<MetricFamily, 'name' | 'type' | 'help'>[] = [
  ...clientMetrics,
  ...brokerMetrics,
  ...consumerPartitionMetrics,
  ...producerPartitionMetrics,
];

type Labels = Sample['labels'];

interface StatisticsClient {
  on(event: 'statistics', listener: (statistics: Statistics) => void): unknown;
  once(event: 'closed', listener: () => void): unknown;
}

interface Watched {
  /** Partitions of a consumer; undefined for a producer, whose partitions are those it has produced to. */
  readonly assignment: (() => readonly TopicPartition[]) | undefined;
  last: Statistics | undefined;
}

/**
 * The last statistics of each client as metrics, made when they are asked for. What librdkafka reports as negative is not known, and
 * left out; so are partitions that are not assigned any more.
 */
export class StatisticsMetrics {
  readonly #watched = new Set<Watched>();
  readonly #partitionsMax: number;

  /** @param partitionsMax partitions of one client that are shown at most, those of the first topics by name */
  constructor(partitionsMax: number) {
    this.#partitionsMax = partitionsMax;
  }

  watch(client: StatisticsClient, assignment: Watched['assignment']): void {
    const watched: Watched = { assignment, last: undefined };
    this.#watched.add(watched);
    client.on('statistics', (statistics) => {
      watched.last = statistics;
    });
    client.once('closed', () => this.#watched.delete(watched));
  }

  families(labels: Labels): MetricFamily[] {
    const samples = new Map<StatisticMetric<never>, Sample[]>();
    for (const { last, assignment } of this.#watched) {
      if (last === undefined) continue;
      const own = { ...labels, client_id: last.client_id, client: last.name, type: last.type };
      add(samples, clientMetrics, last, own);
      for (const broker of Object.values(last.brokers)) {
        // What librdkafka only uses within, and addresses it has not connected to, say nothing.
        if (broker.source === 'internal' || broker.tx === 0) continue;
        add(samples, brokerMetrics, broker, { ...own, broker: broker.name });
      }
      for (const { topic, partition } of this.#partitions(last, assignment?.())) {
        const metrics = assignment === undefined ? producerPartitionMetrics : consumerPartitionMetrics;
        add(samples, metrics, partition, { ...own, topic, partition: partition.partition });
      }
    }
    return [...samples].map(([{ name, type, help }, values]) => ({ name, type, help, values }));
  }

  #partitions(
    { topics }: Statistics,
    assignment: readonly TopicPartition[] | undefined,
  ): { readonly topic: string; readonly partition: PartitionStatistics }[] {
    const assigned = assignment === undefined ? undefined : new Set(assignment.map(({ topic, partition }) => `${topic}/${partition}`));
    return Object.keys(topics)
      .sort()
      .flatMap((topic) => Object.values(topics[topic]!.partitions).map((partition) => ({ topic, partition })))
      .filter(({ topic, partition }) => partition.partition >= 0 && (assigned?.has(`${topic}/${partition.partition}`) ?? true))
      .slice(0, this.#partitionsMax);
  }
}

function add<Source>(
  samples: Map<StatisticMetric<never>, Sample[]>,
  metrics: readonly StatisticMetric<Source>[],
  source: Source,
  labels: Labels,
): void {
  for (const metric of metrics) {
    const value = metric.value(source);
    if (!(value >= 0)) continue;
    const own = samples.get(metric);
    if (own === undefined) samples.set(metric, [{ labels, value }]);
    else own.push({ labels, value });
  }
}
