import { randomUUID } from 'node:crypto';
import {
  type ConsumerRecord,
  consumeAllMessages,
  createConsumer,
  createProducer,
  parseRuntimeVars,
  type RuntimeVars,
  StateError,
} from 'rdkafka-toolkit';
import type { MockCluster } from 'rdkafka-toolkit/testing';
import { createTopics } from '../services/topics.ts';
import { committedOffsets } from '../support/topics.ts';
import type { FaultContext } from './context.ts';
import { duplicatesPerKill } from './duplicate-bound.ts';
import { Member } from './member-process.ts';
import type { MemberTask, Pattern } from './member-task.ts';
import { inputRecord, parseDeadLetter, parseOutput } from './records.ts';
import { PeakRate } from './statistics.ts';
import { Ledger, type Verdict, Verifier } from './verify.ts';

const KEYS = 200;
const PARTITIONS = 4;
const FEED_SLICE_MS = 20;
const READY_TIMEOUT_MS = 30_000;
/** Faults are told apart by how little they cost, so everything that waits waits shortly. */
const ENVIRONMENT = {
  CONSUMER_POLL_TIMEOUT: '1',
  CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '0.5',
  CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6',
  CONSUMER_PREFETCH_COUNT: '100',
  CONSUMER_BATCH_COUNT: '200',
  CONSUMER_BATCH_TIMEOUT_SECONDS: '0.2',
  PRODUCER_QUEUE_MAX_RECORDS: '500',
  SHUTDOWN_TIMEOUT_SECONDS: '8',
  RDKAFKA_HEARTBEAT_INTERVAL_MS: '500',
  RDKAFKA_RECONNECT_BACKOFF_MAX_MS: '1000',
} as const;

/** Whatever the members' own are: a new producer's first records wait up to a second for its id. */
const FEEDING = { PRODUCER_QUEUE_MAX_RECORDS: '20000', PRODUCER_DELIVERY_TIMEOUT_SECONDS: '60' } as const;

type Environment = Readonly<Record<string, string>>;
type StartOptions = Partial<Pick<MemberTask, 'pauseEvery' | 'pauseMs' | 'failing' | 'concurrency' | 'order'>> & {
  readonly environment?: Environment;
};

interface FeedOptions {
  readonly recordsPerSecond?: number;
  /** What makes the records long. @default 80 bytes */
  readonly filling?: Buffer;
}

interface VerifyOptions {
  /** Whether dead letters count as outputs. @default false */
  readonly deadLetters?: boolean;
  readonly isolation?: 'read_committed' | 'read_uncommitted';
}

/** What a pipeline's outputs say. */
export interface Verified {
  readonly verdict: Verdict;
  /** Outputs a second at the busiest time. */
  readonly peakRate: number;
}

/** An input topic, members of one group that copy it, and the output topic. */
export class Pipeline {
  readonly input: string;
  readonly output: string;
  readonly ledger: Ledger;
  readonly members: Member[] = [];
  readonly #context: FaultContext;
  readonly #environment: Environment;
  #sources = 0;

  private constructor(context: FaultContext, input: string, output: string, environment: Environment, keys: number) {
    this.#context = context;
    this.input = input;
    this.output = output;
    this.ledger = new Ledger(input, keys);
    this.#environment = environment;
  }

  static async onReal(context: FaultContext, environment: Environment = {}, keys: number = KEYS): Promise<Pipeline> {
    const { bootstrapServers } = await context.cluster();
    const pipeline = Pipeline.#make(context, bootstrapServers, environment, keys);
    const topics = [pipeline.input, pipeline.output].map((topic) => ({ topic, partitions: PARTITIONS, replicationFactor: 3 }));
    await createTopics(bootstrapServers, topics);
    return pipeline;
  }

  static async onMock(context: FaultContext, cluster: MockCluster, environment: Environment = {}): Promise<Pipeline> {
    const pipeline = Pipeline.#make(context, cluster.bootstrapServers, environment);
    await cluster.createTopics([pipeline.input, pipeline.output]);
    return pipeline;
  }

  static #make(context: FaultContext, bootstrapServers: string, environment: Environment, keys = KEYS): Pipeline {
    const name = randomUUID().slice(0, 8);
    const own = { KAFKA_BOOTSTRAP_SERVERS: bootstrapServers, APP_NAME: `faults-${name}` };
    return new Pipeline(context, `in-${name}`, `out-${name}`, { ...ENVIRONMENT, ...own, ...environment }, keys);
  }

  /** The runtime variables of this pipeline's clients, for one of the patterns. */
  vars(pattern: Pattern = 'async'): RuntimeVars {
    return parseRuntimeVars(this.#environmentOf(pattern));
  }

  #environmentOf(pattern: Pattern): Environment {
    return { ...this.#environment, CONSUMER_ENABLE_AUTO_COMMIT: String(pattern !== 'sync' && pattern !== 'transaction') };
  }

  /** Starts a member and waits until it has asked to join the group. */
  async start(pattern: Pattern, options: StartOptions = {}): Promise<Member> {
    const member = this.launch(pattern, options);
    await this.ready(member);
    return member;
  }

  /** As {@link start}, without waiting. */
  launch(pattern: Pattern, { pauseEvery = 100, pauseMs = 25, environment = {}, ...more }: StartOptions = {}): Member {
    const task = { pattern, input: this.input, output: this.output, source: this.#sources++, pauseEvery, pauseMs, ...more };
    const member = new Member(task, { ...this.#environmentOf(pattern), ...environment });
    this.members.push(member);
    this.#context.defer(() => member.kill());
    return member;
  }

  ready(member: Member): Promise<void> {
    return this.until(member, 'it is ready', () => member.isReady, READY_TIMEOUT_MS);
  }

  /** Waits for something that a member does. @throws when it ends instead */
  async until(member: Member, what: string, isSo: () => boolean, timeoutMs?: number): Promise<void> {
    const check = (): boolean => {
      if (isSo()) return true;
      if (!member.running) throw new StateError(`Member ${member.task.source} ended before ${what}: ${member.stderr}`);
      return false;
    };
    await this.#context.until(`member ${member.task.source}: ${what}`, check, timeoutMs);
  }

  /**
   * Produces inputs, at that rate if one is given, until all have their delivery reports.
   * @throws StateError when none was acknowledged: there is nothing to lose then
   */
  async feed(count: number, { recordsPerSecond = Number.POSITIVE_INFINITY, filling }: FeedOptions = {}): Promise<void> {
    const producer = await createProducer({ vars: parseRuntimeVars({ ...this.#environment, ...FEEDING }) });
    const acknowledgedBefore = this.ledger.acknowledged;
    this.#context.defer(() => producer.close({ timeoutMs: 1_000 }));
    const start = performance.now();
    for (let fed = 0; fed < count; fed++) {
      while (fed > ((performance.now() - start) / 1_000) * recordsPerSecond) await this.#context.sleep(FEED_SLICE_MS);
      const { index, key, number } = this.ledger.add();
      await producer.enqueue(inputRecord(this.input, key, number, filling), (error, metadata) => {
        if (error === undefined && metadata !== undefined) this.ledger.acknowledge(index, metadata.partition, metadata.offset);
      });
      this.#context.signal.throwIfAborted();
    }
    await producer.flush({ timeoutMs: 60_000, signal: this.#context.signal });
    await producer.close();
    if (this.ledger.acknowledged === acknowledgedBefore) throw new StateError(`None of ${count} inputs was acknowledged`);
  }

  /** Waits until the group has committed every acknowledged input. */
  async finish(timeoutMs: number): Promise<void> {
    const ends = this.ledger.ends();
    const vars = this.vars();
    const services = { bootstrapServers: vars.KAFKA_BOOTSTRAP_SERVERS.join(',') };
    const isCommitted = async (): Promise<boolean> => {
      const committed = await committedOffsets(services, vars, this.input).catch(() => []);
      return [...ends].every(([partition, end]) => (committed[partition] ?? 0) >= end);
    };
    await this.#context.until('every input is committed', isCommitted, timeoutMs, 300);
  }

  /** Ends a member by a signal. The failures: it did not end well, or not in time. */
  async stop(member: Member, signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<string[]> {
    if (member.running) member.signal(signal);
    return this.ended(member, signal, timeoutMs);
  }

  /** The failures of a member that was told to end. */
  async ended(member: Member, why: string, timeoutMs = 10_000): Promise<string[]> {
    const name = `Member ${member.task.source} (${member.task.pattern})`;
    try {
      await this.#context.until('it ends', () => !member.running, timeoutMs);
    } catch {
      await member.kill();
      const where = member.result === undefined ? 'its runner had not ended' : 'its runner had ended';
      return [`${name} did not end within ${timeoutMs} ms after ${why}: ${where}, it held ${member.partitions} partitions`];
    }
    const { code, signal } = await member.ended;
    if (code === 0) return [];
    return [`${name} ended with ${signal ?? `code ${code}`} after ${why}: ${member.stderr || 'nothing on stderr'}`];
  }

  async stopAll(): Promise<string[]> {
    const running = this.members.filter((member) => member.running);
    // Until then a signal is not the runner's.
    await Promise.all(running.map((member) => this.ready(member)));
    return (await Promise.all(running.map((member) => this.stop(member)))).flat();
  }

  /** Reads the output topic from its start, and the dead letters if there are any. */
  async verify({ deadLetters = false, isolation = 'read_committed' }: VerifyOptions = {}): Promise<Verified> {
    const verifier = new Verifier(this.ledger);
    const rate = new PeakRate();
    await this.read(
      this.output,
      (record) => {
        verifier.add(parseOutput(record));
        rate.add(record.timestamp);
      },
      isolation,
    );
    if (deadLetters) await this.read(`${this.output}-dead`, (record) => verifier.add(parseDeadLetter(record)));
    return { verdict: verifier.verdict(), peakRate: rate.perSecond };
  }

  /** Every record of a topic, from its start. */
  async read(
    topic: string,
    each: (record: ConsumerRecord) => void,
    isolation: VerifyOptions['isolation'] = 'read_committed',
  ): Promise<void> {
    const vars = parseRuntimeVars({ ...this.#environment, CONSUMER_PREFETCH_COUNT: '5000', APP_NAME: `verify-${topic}-${isolation}` });
    const consumer = await createConsumer({ vars, topics: [topic], config: { 'isolation.level': isolation } });
    this.#context.defer(() => consumer.close({ timeoutMs: 1_000 }));
    for await (const record of consumeAllMessages(consumer, { signal: this.#context.signal })) each(record);
    await consumer.close();
  }

  /** The bound of one kill of a member, at the rate that was measured. */
  duplicatesPerKill(pattern: Pattern, peakRate: number): number {
    return duplicatesPerKill(pattern, this.vars(pattern), peakRate);
  }
}
