import { hostname } from 'node:os';
import {
  Counter,
  type CounterConfiguration,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  type Metric,
  Registry,
} from 'prom-client';
import { ConfigError, DecodeError, StateError } from '../errors.ts';
import type { AnyHandler, MetricsRecorder } from '../hooks.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { ClientMetrics, type WatchedConsumer, type WatchedProducer } from './client-metrics.ts';
import { type CounterNames, exposedName, type MetricDefinition, metricDefinitions, poolDefinitions } from './definitions.ts';
import { type Exemplar, type MetricFamily, type MetricsFormat, renderFamilies, type Sample } from './exposition.ts';
import { HandlerMetrics } from './handler-metrics.ts';
import { countFamilies, LiveCounts, type SharedCounts } from './live-counts.ts';
import { PushCounts } from './push-counts.ts';
import type { MetricsPusher } from './pusher.ts';
import { statisticDefinitions } from './statistics-metrics.ts';

/** A prom-client metric without what the registry adds. */
type Custom<Configuration> = Omit<Configuration, 'registers'>;

/** A pool that can be watched: what waits, what runs, and how it works now (`inline`, `pool` …) where there is a choice. */
export interface WatchedPool {
  stats(): { readonly queued: number; readonly running: number; readonly mode?: string | undefined };
}

/** Options of {@link MetricsManager}. */
export interface MetricsManagerOptions {
  /** Name of the service: the `app` label. @default APP_NAME */
  readonly app?: string | undefined;
  /** Name of the pod: the `job` label. @default HOSTNAME, or the machine's own name */
  readonly job?: string | undefined;
  /** Where `startPushingMetrics` pushes to. */
  readonly metricsPusher?: MetricsPusher | undefined;
  /** prom-client's registry that all metrics go into, with those that are in it already. @default one of its own */
  readonly registry?: Registry | undefined;
  /** `total` puts `_total` behind the names of the toolkit's counters. @default 'plain', the names of the original */
  readonly counterNames?: CounterNames | undefined;
  /** Classes of errors told apart by the `exception` label; further ones count as `other`. @default 64 */
  readonly exceptionsMax?: number | undefined;
  /** Partitions of one client shown from librdkafka's statistics. @default 1000 */
  readonly statisticsPartitionsMax?: number | undefined;
  /**
   * What a timed call of a handler is linked to, e.g. `() => ({ trace_id })`; only OpenMetrics shows it. Undefined: nothing.
   * `Tracing.exemplarLabels` gives the active span's.
   */
  readonly exemplarLabels?: (() => Exemplar['labelSet'] | undefined) | undefined;
  /** @default parseRuntimeVars(), read only when `app` or `job` is left out */
  readonly vars?: RuntimeVars | undefined;
}

/**
 * All metrics of a service: what the patterns and the application count, what clients and pools tell, and custom ones. Pass it to
 * `consumeMessage`, `produceMessage` or a runner, push it with `startPushingMetrics` or serve it with `metricsHandler`.
 *
 * Counting adds to a number; everything else is done when metrics are collected. `binding-notes/metrics.md` lists every metric.
 *
 * @throws ConfigError when `app` or `job` is not known, or the registry has metrics of those names already
 * @example
 * const metrics = new MetricsManager({ metricsPusher: createMetricsPusher() });
 * metrics.watchConsumer(consumer);
 * await using pushing = startPushingMetrics(metrics);
 * await runAsync({ consumer, producer, metrics, handler });
 */
export class MetricsManager implements MetricsRecorder {
  readonly app: string;
  readonly job: string;
  readonly metricsPusher: MetricsPusher | undefined;
  readonly registry: Registry;
  readonly counterNames: CounterNames;
  /** True when timed calls carry exemplars. */
  readonly hasExemplars: boolean;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #counts: LiveCounts;
  readonly #handlers: HandlerMetrics;
  readonly #clients: ClientMetrics;
  readonly #pools = new Map<string, WatchedPool>();
  readonly #exceptionListeners = new Set<(name: string, index: number) => void>();
  readonly #shared: SharedCounts;
  /** @internal What the pushing told last. */
  readonly pushCounts: PushCounts = new PushCounts();

  constructor(options: MetricsManagerOptions = {}) {
    const { app, job } = identity(options);
    this.app = app;
    this.job = job;
    this.#labels = Object.freeze({ app, job });
    this.metricsPusher = options.metricsPusher;
    this.counterNames = options.counterNames ?? 'plain';
    this.hasExemplars = options.exemplarLabels !== undefined;
    const exceptions: string[] = [];
    this.#counts = new LiveCounts(options.exceptionsMax ?? 64, (name, index) => {
      exceptions[index] = name;
      for (const listener of this.#exceptionListeners) listener(name, index);
    });
    const shared = this.#counts.share(this.#labels, this.counterNames);
    exceptions.push(...shared.exceptions);
    this.#shared = { ...shared, exceptions };
    this.#handlers = new HandlerMetrics(options.exemplarLabels);
    this.#clients = new ClientMetrics(options.statisticsPartitionsMax ?? 1000);
    this.registry = options.registry ?? new Registry();
    // A registry of the service's own keeps its default labels.
    if (options.registry === undefined) this.registry.setDefaultLabels(this.#labels);
    this.#register();
  }

  /** Records consumed; `consumeMessage`, `consumeMessageBatch` and the runners count by themselves. */
  incMessagesConsumed(count = 1): void {
    this.#counts.consumed(checked(count));
  }

  /** Records produced; `produceMessage` and the runners count by themselves. */
  incMessagesProduced(count = 1): void {
    this.#counts.produced(checked(count));
  }

  /** An error, counted under the name of its class; runners count theirs by themselves. */
  incMessageErrors(error: unknown): void {
    this.#counts.error(error, decodeErrorsOf(error));
  }

  /** A record is tried again. */
  recordRetried(): void {
    this.#counts.retried();
  }

  /** A record was put into a dead-letter topic. */
  recordDeadLettered(): void {
    this.#counts.deadLettered();
  }

  /**
   * The same handler, measured: how long a sample of its calls takes, how large its batches are. Runners that are given this manager do
   * it by themselves; for loops by hand.
   */
  wrapHandler<Handler extends AnyHandler>(handler: Handler): Handler {
    return this.#handlers.wrap(handler);
  }

  /** Shows lag, rebalances and stalls of a consumer, and librdkafka's statistics of it, until it is closed. */
  watchConsumer(consumer: WatchedConsumer): void {
    this.#clients.watchConsumer(consumer);
  }

  /** Shows what a producer has in flight and could not deliver, and librdkafka's statistics of it, until it is closed. */
  watchProducer(producer: WatchedProducer): void {
    this.#clients.watchProducer(producer);
  }

  /** Shows how busy a pool is, under its name, until the function it gives is called. */
  watchPool(name: string, pool: WatchedPool): () => void {
    this.#pools.set(name, pool);
    return () => {
      if (this.#pools.get(name) === pool) this.#pools.delete(name);
    };
  }

  /** A counter of the application's own. @throws ConfigError when the name or a label is taken or not valid */
  counter<Label extends string>(configuration: Custom<CounterConfiguration<Label>>): Counter<Label> {
    return registered(configuration.name, () => new Counter({ ...configuration, registers: [this.registry] }));
  }

  /** A gauge of the application's own. @throws ConfigError as {@link counter} */
  gauge<Label extends string>(configuration: Custom<GaugeConfiguration<Label>>): Gauge<Label> {
    return registered(configuration.name, () => new Gauge({ ...configuration, registers: [this.registry] }));
  }

  /** A histogram of the application's own. @throws ConfigError as {@link counter} */
  histogram<Label extends string>(configuration: Custom<HistogramConfiguration<Label>>): Histogram<Label> {
    return registered(configuration.name, () => new Histogram({ ...configuration, registers: [this.registry] }));
  }

  /** Everything in the registry as text. */
  async text(format: MetricsFormat = 'text'): Promise<string> {
    return renderFamilies(await this.#families(), format);
  }

  /** @internal Everything but what the pushing thread shows by itself. */
  async snapshot(): Promise<string> {
    const families = await this.#families();
    const own = new Set([...countFamilies(this.#shared), ...this.#pushFamilies()].map(({ name }) => name));
    return renderFamilies(
      families.filter(({ name }) => !own.has(name)),
      'text',
    );
  }

  /** @internal For the pushing thread; classes of errors that come later are told to `onException` until the result is called. */
  shareCounts(onException: (name: string, index: number) => void): { readonly counts: SharedCounts; readonly stop: () => void } {
    this.#exceptionListeners.add(onException);
    const counts = { ...this.#shared, exceptions: [...this.#shared.exceptions] };
    return { counts, stop: () => this.#exceptionListeners.delete(onException) };
  }

  async #families(): Promise<MetricFamily[]> {
    const families = (await this.registry.getMetricsAsJSON()) as unknown as MetricFamily[];
    // Of what nothing is known, not even the name is shown.
    return families.filter(({ values }) => values.length > 0);
  }

  #pushFamilies(): MetricFamily[] {
    return this.pushCounts.families(this.#labels, this.counterNames);
  }

  /** Every collection asks each source once, though each of its metrics is asked for by itself. */
  #register(): void {
    const collectors = [
      () => countFamilies(this.#shared),
      () => this.#handlers.families(this.#labels),
      () => this.#clients.families(this.#labels),
      () => this.#poolFamilies(),
      () => this.#pushFamilies(),
    ];
    let collected: Map<string, MetricFamily> | undefined;
    const collect = (): ReadonlyMap<string, MetricFamily> => {
      if (collected !== undefined) return collected;
      collected = new Map(collectors.flatMap((each) => each()).map((family) => [this.#exposed(family), family]));
      queueMicrotask(() => {
        collected = undefined;
      });
      return collected;
    };
    const definitions: readonly Pick<MetricFamily, 'name' | 'type' | 'help'>[] = [
      ...metricDefinitions.map((definition) => ({ ...definition, name: this.#exposed(definition) })),
      ...statisticDefinitions,
    ];
    for (const definition of definitions) {
      registered(definition.name, () => this.registry.registerMetric(collectedMetric(definition, collect)));
    }
  }

  /** Counters of librdkafka's statistics keep the names that exporters gave them. */
  #exposed({ name, type }: Pick<MetricFamily, 'name' | 'type'>): string {
    if (name.startsWith('rdkafka_') || name.endsWith('_total')) return name;
    return exposedName({ name, type: type as MetricDefinition['type'] }, this.counterNames);
  }

  #poolFamilies(): MetricFamily[] {
    const queued: Sample[] = [];
    const running: Sample[] = [];
    const modes: Sample[] = [];
    for (const [pool, watched] of this.#pools) {
      const stats = watched.stats();
      const labels = { ...this.#labels, pool };
      queued.push({ labels, value: stats.queued });
      running.push({ labels, value: stats.running });
      if (stats.mode !== undefined) modes.push({ labels: { ...labels, mode: stats.mode }, value: 1 });
    }
    return [
      { ...poolDefinitions.queued, values: queued },
      { ...poolDefinitions.running, values: running },
      { ...poolDefinitions.mode, values: modes },
    ];
  }
}

function identity({ app, job, vars }: MetricsManagerOptions): { readonly app: string; readonly job: string } {
  const from = app !== undefined && job !== undefined ? undefined : (vars ?? parseRuntimeVars());
  const found = { app: app ?? from?.APP_NAME ?? '', job: job ?? from?.HOSTNAME ?? hostname() };
  const faults = [
    ...(found.app === '' ? ['Expected APP_NAME, or the option app: the app label of metrics'] : []),
    ...(found.job === '' ? ['Expected the option job not to be empty: the job label of metrics'] : []),
  ];
  if (faults.length > 0) throw new ConfigError(faults);
  return found;
}

/** A negative or missing number would spoil the sum for good. */
function checked(count: number): number {
  if (!(count >= 0)) throw new StateError(`Expected a number of records from 0, got ${count}`);
  return count;
}

/** A batch's error carries one for each record. */
function decodeErrorsOf(error: unknown): number {
  if (!(error instanceof DecodeError)) return 0;
  return 'errors' in error && Array.isArray(error.errors) ? error.errors.length : 1;
}

/** What prom-client takes for a metric: its registry only asks for name and values. */
function collectedMetric(
  definition: Pick<MetricFamily, 'name' | 'type' | 'help'>,
  collect: () => ReadonlyMap<string, MetricFamily>,
): Metric {
  const metric = {
    ...definition,
    aggregator: 'sum',
    // prom-client's registry calls it with resetMetrics(); what is counted elsewhere cannot be taken back.
    reset: () => undefined,
    get: async () => ({ ...definition, aggregator: 'sum', values: [...(collect().get(definition.name)?.values ?? [])] }),
  };
  return metric as unknown as Metric;
}

function registered<T>(name: string, register: () => T): T {
  try {
    return register();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`Cannot register the metric ${name}: ${reason}`], { cause: error });
  }
}
