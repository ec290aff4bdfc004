import { setTimeout as sleep } from 'node:timers/promises';
import type { Stall } from '../client/events.ts';
import type { ToolkitError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { WatchedConsumer, WatchedProducer } from './client-metrics.ts';

/** What a probe asks of a consumer. */
export type HealthConsumer = Pick<WatchedConsumer, 'assignment' | 'brokersAnswer' | 'groupId' | 'health'> & {
  on(event: 'clientError', listener: (error: ToolkitError) => void): unknown;
  on(event: 'stalled', listener: (stall: Stall) => void): unknown;
};
/** What a probe asks of a producer. */
export type HealthProducer = Pick<WatchedProducer, 'brokersAnswer' | 'closed' | 'fatalError'> & {
  on(event: 'clientError', listener: (error: ToolkitError) => void): unknown;
};

/** One thing that was looked at. */
export interface HealthCheck {
  /** `consumer <group>`, `producer`, `event loop`, or the name of a check. */
  readonly name: string;
  readonly ok: boolean;
  /** Why not; for the operator, without secrets of the toolkit's own. */
  readonly reason?: string | undefined;
}

/** What a probe answers. */
export interface HealthReport {
  readonly ok: boolean;
  readonly checks: readonly HealthCheck[];
}

/** Options of {@link health}. */
export interface HealthOptions {
  readonly consumers?: readonly HealthConsumer[] | undefined;
  readonly producers?: readonly HealthProducer[] | undefined;
  /**
   * What must be reachable for the service to be ready, by name: each resolves, or throws why not.
   *
   * @example
   * checks: { 'schema registry': (signal) => fetch(`${url}/subjects`, { signal }) }
   */
  readonly checks?: Readonly<Record<string, (signal: AbortSignal) => unknown>> | undefined;
  /** Deadline of one check, in milliseconds. @default 2000 */
  readonly checkTimeoutMs?: number | undefined;
  /** How long the answer of a check is used again: probes come often. In milliseconds. @default 10000 */
  readonly checkEveryMs?: number | undefined;
  /** False: a consumer without partitions is ready. For groups with more members than partitions. @default true */
  readonly needsPartitions?: boolean | undefined;
  /** False: a client none of whose brokers answers is ready. @default true */
  readonly needsBrokers?: boolean | undefined;
  /** A stall that lasts longer makes the process not live, in milliseconds: a restart is its last hope. @default 900000 */
  readonly stallLimitMs?: number | undefined;
}

/** Answers the probes of a platform. */
export interface Health {
  /**
   * Whether the process should go on: no client was closed by a failure and no stall lasts longer than `stallLimitMs`. An event loop that
   * is blocked answers no probe at all; one that was, and goes on, is live.
   */
  liveness(): HealthReport;
  /** Whether it can work now: brokers there, partitions assigned, not stalled, producers in order, and every check passed. Never rejects. */
  readiness(): Promise<HealthReport>;
}

/**
 * Liveness and readiness of a service, from what its clients know by themselves (the watchdog of `CONSUMER_STALL_TIMEOUT_SECONDS`) and
 * what it depends on.
 *
 * @example
 * const probes = health({ consumers: [consumer], producers: [producer] });
 * server.on('request', async (request, response) => {
 *   const { ok, checks } = request.url === '/live' ? probes.liveness() : await probes.readiness();
 *   response.writeHead(ok ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify(checks));
 * });
 */
export function health(options: HealthOptions = {}): Health {
  const { consumers = [], producers = [], needsPartitions = true, needsBrokers = true, stallLimitMs = 900_000 } = options;
  const { checkTimeoutMs = 2_000, checkEveryMs = 10_000 } = options;
  const stalls = new StallClock(consumers);
  const outages = needsBrokers ? [...consumers, ...producers].map((client) => new OutageWatch(client, checkTimeoutMs)) : [];
  const checks = Object.entries(options.checks ?? {}).map(([name, check]) => new CachedCheck(name, check, checkTimeoutMs, checkEveryMs));
  return {
    liveness: () =>
      reportOf([
        ...consumers.map((consumer) => liveConsumer(consumer, stalls.lastsMs(consumer), stallLimitMs)),
        ...producers.map(producerCheck),
      ]),
    readiness: async () =>
      reportOf([
        ...consumers.map((consumer) => readyConsumer(consumer, needsPartitions)),
        ...producers.map(producerCheck),
        ...(await outagesOf(outages)),
        ...(await Promise.all(checks.map((check) => check.look()))),
      ]),
  };
}

function reportOf(checks: readonly HealthCheck[]): HealthReport {
  return { ok: checks.every(({ ok }) => ok), checks };
}

function check(name: string, reason: string | undefined): HealthCheck {
  return reason === undefined ? { name, ok: true } : { name, ok: false, reason };
}

function liveConsumer(consumer: HealthConsumer, stalledMs: number, limitMs: number): HealthCheck {
  const { status, stall } = consumer.health();
  const name = `consumer ${consumer.groupId}`;
  if (status === 'closed') return check(name, 'it is closed');
  return check(name, stall !== undefined && stalledMs > limitMs ? describeStall(stall, stalledMs) : undefined);
}

function readyConsumer(consumer: HealthConsumer, needsPartitions: boolean): HealthCheck {
  const { status, stall } = consumer.health();
  const name = `consumer ${consumer.groupId}`;
  if (status === 'closed') return check(name, 'it is closed');
  if (stall !== undefined) return check(name, describeStall(stall, stall.stalledMs));
  return check(name, needsPartitions && consumer.assignment().length === 0 ? 'no partition is assigned' : undefined);
}

function describeStall({ reason, lagRecords, inFlightRecords }: Stall, stalledMs: number): string {
  const lag = lagRecords === undefined ? 'an unknown number of' : lagRecords;
  return `no progress for ${Math.round(stalledMs / 1000)} s (${reason}): ${lag} records wait, ${inFlightRecords} are in flight`;
}

function producerCheck(producer: HealthProducer): HealthCheck {
  return check('producer', producer.closed ? 'it is closed' : producer.fatalError?.message);
}

/** One check for all clients, as they have the same brokers mostly; none where nothing was heard of an outage. */
async function outagesOf(outages: readonly OutageWatch[]): Promise<HealthCheck[]> {
  const lasting = await Promise.all(outages.map((outage) => outage.lasts()));
  return lasting.includes(true) ? [check('brokers', 'none of them answers')] : [];
}

/** Whether an outage that librdkafka told of is still there: it does not tell when it is over. */
class OutageWatch {
  readonly #client: HealthConsumer | HealthProducer;
  readonly #timeoutMs: number;
  #told = false;
  #asking: Promise<boolean> | undefined;

  constructor(client: HealthConsumer | HealthProducer, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    client.on('clientError', ({ kafkaCode }) => {
      if (kafkaCode === kafkaCodes.allBrokersDown) this.#told = true;
    });
  }

  async lasts(): Promise<boolean> {
    if (!this.#told) return false;
    // Many probes ask once.
    this.#asking ??= this.#client.brokersAnswer(this.#timeoutMs).finally(() => {
      this.#asking = undefined;
    });
    this.#told = !(await this.#asking);
    return this.#told;
  }
}

/** Since when consumers are stalled: the watchdog tells only when it begins. */
class StallClock {
  readonly #since = new WeakMap<HealthConsumer, number>();

  constructor(consumers: readonly HealthConsumer[]) {
    for (const consumer of consumers) {
      consumer.on('stalled', ({ stalledMs }) => this.#since.set(consumer, performance.now() - stalledMs));
    }
  }

  /** How long the present stall of a consumer lasts; only of use while it is stalled. */
  lastsMs(consumer: HealthConsumer): number {
    const { stall } = consumer.health();
    if (stall === undefined) return 0;
    const since = this.#since.get(consumer);
    return since === undefined ? stall.stalledMs : performance.now() - since;
  }
}

/** A check that is made at most every so often, once at a time, with a deadline. */
class CachedCheck {
  readonly #name: string;
  readonly #check: (signal: AbortSignal) => unknown;
  readonly #timeoutMs: number;
  readonly #everyMs: number;
  #last: Promise<HealthCheck> | undefined;
  #until = 0;

  constructor(name: string, work: (signal: AbortSignal) => unknown, timeoutMs: number, everyMs: number) {
    this.#name = name;
    this.#check = work;
    this.#timeoutMs = timeoutMs;
    this.#everyMs = everyMs;
  }

  look(): Promise<HealthCheck> {
    if (this.#last === undefined || performance.now() >= this.#until) {
      // Until it has answered nobody else asks.
      this.#until = Number.POSITIVE_INFINITY;
      this.#last = this.#look().finally(() => {
        this.#until = performance.now() + this.#everyMs;
      });
    }
    return this.#last;
  }

  async #look(): Promise<HealthCheck> {
    const stop = new AbortController();
    const late = sleep(this.#timeoutMs, `no answer within ${this.#timeoutMs} ms`, { signal: stop.signal });
    // Aborted when the check was quicker.
    late.catch(() => undefined);
    const work = (async () => {
      await this.#check(stop.signal);
      return undefined;
    })();
    try {
      return check(this.#name, await Promise.race([work, late]));
    } catch (error) {
      return check(this.#name, error instanceof Error ? error.message : String(error));
    } finally {
      work.catch(() => undefined);
      stop.abort();
    }
  }
}
