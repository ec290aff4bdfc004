import type { Consumer } from '../client/consumer.ts';
import type { Producer } from '../client/producer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import { clientDefinitions, type MetricDefinition } from './definitions.ts';
import type { MetricFamily, Sample } from './exposition.ts';
import { StatisticsMetrics } from './statistics-metrics.ts';

/** A consumer of any key, value and headers. */
export type WatchedConsumer = Consumer<unknown, unknown, unknown>;

/** A producer of any key and value. */
export type WatchedProducer = Producer<never, never>;

type Labels = Readonly<Record<string, string>>;

/** What happened to the consumers of one group in this process. */
class GroupCounts {
  readonly rebalances: Record<'assigned' | 'revoked' | 'lost', number> = { assigned: 0, revoked: 0, lost: 0 };
  readonly stalls: Record<string, number> = {};
  commitErrors = 0;
  blockedSeconds = 0;
}

/** What consumers and producers tell: asked when metrics are collected, or counted from their events, never for each record. */
export class ClientMetrics {
  readonly #consumers = new Set<WatchedConsumer>();
  readonly #producers = new Set<WatchedProducer>();
  readonly #groups = new Map<string, GroupCounts>();
  readonly #statistics: StatisticsMetrics;
  #deliveryErrors = 0;

  constructor(partitionsMax: number) {
    this.#statistics = new StatisticsMetrics(partitionsMax);
  }

  watchConsumer(consumer: WatchedConsumer): void {
    if (this.#consumers.has(consumer) || consumer.closed) return;
    this.#consumers.add(consumer);
    const counts = this.#groups.get(consumer.groupId) ?? new GroupCounts();
    this.#groups.set(consumer.groupId, counts);
    consumer.on('assigned', () => {
      counts.rebalances.assigned++;
    });
    consumer.on('revoked', (_, { lost }) => {
      counts.rebalances[lost ? 'lost' : 'revoked']++;
    });
    consumer.on('stalled', ({ reason }) => {
      counts.stalls[reason] = (counts.stalls[reason] ?? 0) + 1;
    });
    consumer.on('committed', (error) => {
      if (error !== undefined) counts.commitErrors++;
    });
    consumer.on('eventLoopBlocked', ({ blockedMs }) => {
      counts.blockedSeconds += blockedMs / 1000;
    });
    this.#statistics.watch(consumer, () => (consumer.closed ? [] : consumer.assignment()));
    consumer.once('closed', () => this.#consumers.delete(consumer));
  }

  watchProducer(producer: WatchedProducer): void {
    if (this.#producers.has(producer) || producer.closed) return;
    this.#producers.add(producer);
    producer.on('deliveryError', () => {
      this.#deliveryErrors++;
    });
    this.#statistics.watch(producer, undefined);
    producer.once('closed', () => this.#producers.delete(producer));
  }

  /** Nothing of kinds of clients that were never watched. */
  families(labels: Labels): MetricFamily[] {
    return [
      ...(this.#groups.size === 0 ? [] : [...this.#partitionFamilies(labels), ...this.#groupFamilies(labels)]),
      ...(this.#producers.size === 0 && this.#deliveryErrors === 0 ? [] : this.#producerFamilies(labels)),
      ...this.#statistics.families(labels),
    ];
  }

  #partitionFamilies(labels: Labels): MetricFamily[] {
    const secondsBehind: Sample[] = [];
    const lag: Sample[] = [];
    const handedOver: Sample[] = [];
    const now = Date.now();
    for (const consumer of this.#consumers) {
      for (const at of offsetManagerOf(consumer).progress()) {
        const own = { ...labels, group: consumer.groupId, topic: at.topic, partition: at.partition };
        handedOver.push({ labels: own, value: at.handedOver });
        const end = consumer.handle.knownEnd(at);
        if (end === undefined || at.lastOffset < 0) continue;
        const behind = Math.max(0, end - at.lastOffset - 1);
        lag.push({ labels: own, value: behind });
        const age = behind === 0 || at.lastTimestamp < 0 ? 0 : Math.max(0, now - at.lastTimestamp) / 1000;
        secondsBehind.push({ labels: own, value: age });
      }
    }
    return [
      { ...clientDefinitions.secondsBehind, values: secondsBehind },
      { ...clientDefinitions.lag, values: lag },
      { ...clientDefinitions.handedOver, values: handedOver },
    ];
  }

  #groupFamilies(labels: Labels): MetricFamily[] {
    const perConsumer = (definition: MetricDefinition, measure: (consumer: WatchedConsumer) => number): MetricFamily => {
      const sums = new Map<string, number>();
      for (const consumer of this.#consumers) sums.set(consumer.groupId, (sums.get(consumer.groupId) ?? 0) + measure(consumer));
      return { ...definition, values: [...sums].map(([group, value]) => ({ labels: { ...labels, group }, value })) };
    };
    const perGroup = (
      definition: MetricDefinition,
      count: (counts: GroupCounts) => Readonly<Record<string, number>> | number,
    ): MetricFamily => {
      const [, label] = definition.labels;
      const values = [...this.#groups].flatMap(([group, counts]): Sample[] => {
        const own = { ...labels, group };
        const value = count(counts);
        if (typeof value === 'number') return [{ labels: own, value }];
        return Object.entries(value).map(([name, each]) => ({ labels: { ...own, [label!]: name }, value: each }));
      });
      return { ...definition, values };
    };
    return [
      perConsumer(clientDefinitions.inFlight, (consumer) => offsetManagerOf(consumer).inFlightRecords),
      perConsumer(clientDefinitions.partitions, (consumer) => (consumer.closed ? 0 : consumer.assignment().length)),
      perGroup(clientDefinitions.rebalances, ({ rebalances }) => rebalances),
      perGroup(clientDefinitions.stalls, ({ stalls }) => stalls),
      perGroup(clientDefinitions.commitErrors, ({ commitErrors }) => commitErrors),
      perGroup(clientDefinitions.blocked, ({ blockedSeconds }) => blockedSeconds),
    ];
  }

  #producerFamilies(labels: Labels): MetricFamily[] {
    let inFlight = 0;
    for (const producer of this.#producers) inFlight += producer.inFlight;
    return [
      { ...clientDefinitions.producerInFlight, values: [{ labels, value: inFlight }] },
      { ...clientDefinitions.deliveryErrors, values: [{ labels, value: this.#deliveryErrors }] },
    ];
  }
}
