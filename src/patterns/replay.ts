import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { Producer } from '../client/producer.ts';
import type { LibrdkafkaSettings } from '../config/librdkafka-config.ts';
import { createConsumer, createProducer } from '../delivery/create-clients.ts';
import { originalHeaders, type RecordOrigin, recordOrigin } from '../delivery/failed-record.ts';
import { ConfigError, StateError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { shutdownCleanup } from './consume.ts';
import { consumeAllMessages } from './consume-all.ts';

/** Records put back whose acknowledgement is outstanding. */
const IN_FLIGHT_MAX = 1_000;

const COMMIT_TIMEOUT_MS = 30_000;

/** One that was interrupted keeps the next one waiting no longer than a short session. */
const READING = {
  'enable.auto.commit': false,
  'auto.offset.reset': 'earliest',
  'group.instance.id': '',
  'session.timeout.ms': 6_000,
  'heartbeat.interval.ms': 1_000,
} as const;

/** A dead letter, and where it comes from. */
export interface DeadLetter {
  readonly record: ConsumerRecord;
  /** Undefined for a record of the topic that is no dead letter of the toolkit's. */
  readonly origin: RecordOrigin | undefined;
}

/** What becomes of a dead letter: put back, left out by the filter, or without a topic to go to. */
export type ReplayAction = 'replayed' | 'filtered' | 'homeless';

/** Options of {@link replayDeadLetters}. */
export interface ReplayOptions {
  /** The dead-letter topics to read, from their start to the end known when it is called. @default PRODUCE_FAILURE_TOPICS */
  readonly topics?: readonly string[] | undefined;
  /** Where to put them. @default the topic and partition each one comes from */
  readonly to?: string | undefined;
  /** Which ones. */
  readonly filter?: ((letter: DeadLetter) => boolean) | undefined;
  /** Puts back so many at most. */
  readonly limit?: number | undefined;
  /** Only says what would be done. @default false */
  readonly dryRun?: boolean | undefined;
  /** Those that were put back before, too. @default false */
  readonly all?: boolean | undefined;
  /** Group that remembers how far a topic was put back: only a replay without a filter moves it. @default APP_NAME with `.replay` behind it */
  readonly groupId?: string | undefined;
  /** Told of each. */
  readonly onLetter?: ((letter: DeadLetter, action: ReplayAction) => void) | undefined;
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /** librdkafka settings of both clients. */
  readonly config?: LibrdkafkaSettings | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a replay did, or would have done. */
export interface ReplayResult {
  readonly read: number;
  readonly replayed: number;
  readonly filtered: number;
  /** Dead letters that do not say where they come from: nothing was done with them. */
  readonly homeless: number;
}

/**
 * Puts dead letters back where they came from: key, value and headers as they were before they failed, without the headers they were put
 * aside with. A second replay goes on behind the first, unless that one had a `filter` or a `limit` it reached.
 *
 * Guarantee: at least once. A replay that is interrupted puts some back again.
 *
 * @throws ConfigError without a topic
 * @throws DeliveryError when one could not be put back; those behind it stay
 */
export async function replayDeadLetters(options: ReplayOptions = {}): Promise<ReplayResult> {
  const vars = options.vars ?? parseRuntimeVars();
  const topics = options.topics ?? vars.PRODUCE_FAILURE_TOPICS;
  if (topics.length === 0) throw new ConfigError(['Expected a dead-letter topic to replay: name one, or set PRODUCE_FAILURE_TOPICS']);
  const producer = await createProducer({ vars, config: options.config });
  let consumer: Consumer | undefined;
  try {
    const groupId = options.groupId ?? `${vars.APP_NAME ?? topics[0]}.replay`;
    consumer = await createConsumer({
      vars,
      topics,
      groupId,
      config: { ...options.config, ...READING },
      producers: [],
      signal: options.signal,
    });
    return await new Replay(options, consumer, producer).run();
  } finally {
    await shutdownCleanup({ consumer, producer });
  }
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #consumer: Consumer;
  readonly #producer: Producer;
  readonly #counts = { read: 0, replayed: 0, filtered: 0, homeless: 0 };
  /** Partition → offset behind the last record that was looked at. */
  readonly #next = new Map<string, { topic: string; partition: number; offset: number }>();
  #inFlight: Promise<unknown>[] = [];

  constructor(options: ReplayOptions, consumer: Consumer, producer: Producer) {
    this.#options = options;
    this.#consumer = consumer;
    this.#producer = producer;
  }

  async run(): Promise<ReplayResult> {
    const { all = false, dryRun = false, filter, limit = Number.POSITIVE_INFINITY, signal } = this.#options;
    let done: ReadonlyMap<string, number> | undefined;
    for await (const record of consumeAllMessages(this.#consumer, { signal })) {
      if (this.#counts.replayed >= limit) break;
      done ??= all ? new Map() : await this.#putBackBefore();
      if (record.offset < (done.get(placeOf(record)) ?? 0)) continue;
      await this.#see(record);
      const { topic, partition, offset } = record;
      this.#next.set(placeOf(record), { topic, partition, offset: offset + 1 });
    }
    await Promise.all(this.#inFlight);
    if (!dryRun && filter === undefined) await this.#remember();
    return this.#counts;
  }

  async #see(record: ConsumerRecord): Promise<void> {
    const { dryRun = false, filter, to } = this.#options;
    const letter = { record, origin: recordOrigin(record) };
    this.#counts.read++;
    if (filter !== undefined && !filter(letter)) this.#tell(letter, 'filtered');
    else if (letter.origin === undefined && to === undefined) this.#tell(letter, 'homeless');
    else {
      if (!dryRun) await this.#putBack(letter);
      this.#tell(letter, 'replayed');
    }
  }

  #tell(letter: DeadLetter, action: ReplayAction): void {
    this.#counts[action]++;
    this.#options.onLetter?.(letter, action);
  }

  async #putBack({ record, origin }: DeadLetter): Promise<void> {
    const { to } = this.#options;
    const sending = this.#producer.sendRaw({
      topic: to ?? origin!.topic,
      partition: to === undefined && origin!.partition >= 0 ? origin!.partition : undefined,
      key: record.rawKey,
      value: record.rawValue,
      headers: origin === undefined ? record.rawHeaders : originalHeaders(record.rawHeaders),
    });
    // Its failure is thrown where all are awaited.
    sending.catch(() => undefined);
    this.#inFlight.push(sending);
    if (this.#inFlight.length < IN_FLIGHT_MAX) return;
    await Promise.all(this.#inFlight);
    this.#inFlight = [];
  }

  async #putBackBefore(): Promise<ReadonlyMap<string, number>> {
    const partitions = this.#consumer.assignment();
    const committed = await this.#consumer.committed(partitions);
    return new Map(partitions.map((at, index) => [placeOf(at), committed[index] ?? 0]));
  }

  async #remember(): Promise<void> {
    const offsets = [...this.#next.values()];
    if (offsets.length === 0) return;
    const { handle } = this.#consumer;
    const answer = handle.commitConfirmed(offsets, COMMIT_TIMEOUT_MS);
    if (answer === undefined) {
      handle.commit(offsets);
      return;
    }
    const refused = await answer;
    if (refused !== undefined) throw new StateError(`The replay is done, but is not remembered: ${refused.message}`, { cause: refused });
  }
}

function placeOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}
