import { setTimeout as sleep } from 'node:timers/promises';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { CommitError, ConsumeError, StateError, type ToolkitError, type ToolkitErrorOptions } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { brokersAnswer, ConnectTrace, connectClient, requestMetadata } from './connect.ts';
import { consumeError } from './consume-error.ts';
import { Loans } from './loans.ts';
import {
  type Client,
  checkCode,
  errorOfCode,
  fromLibrdkafka,
  kafkaCodeOf,
  type Metadata,
  makeClient,
  type RawConsumer,
  type RawError,
  rdkafka,
  type TopicPartition,
  type TopicPartitionOffset,
} from './node-rdkafka.ts';
import type { TopicTable } from './pack.ts';
import { type ConsumerClose, openConsumerClose } from './packed.ts';
import { PackedSource } from './packed-source.ts';
import { PortableSource } from './portable-source.ts';
import type { RecordDecoders } from './record-batch.ts';
import type { RecordSource } from './record-source.ts';

/** What a rebalance does to partitions; lost ones may have another owner already. */
export type RebalanceKind = 'assigned' | 'revoked' | 'lost';

/** What librdkafka reports beside records. All are called on the event loop. */
export interface ConsumerCallbacks {
  /** The returned promise is waited for before the partitions are given up or taken; it must not reject. */
  onRebalance(kind: RebalanceKind, partitions: readonly TopicPartition[]): Promise<void> | undefined;
  onOffsetCommit(error: RawError | undefined, partitions: readonly TopicPartitionOffset[]): void;
  onPartitionEof(at: TopicPartitionOffset): void;
  onError(error: RawError): void;
  onStatistics(json: string): void;
  onLog(line: { readonly severity: number; readonly fac: string; readonly message: string }): void;
}

const stateError = (message: string, options: ToolkitErrorOptions): StateError => new StateError(message, options);

/** When a client that is left to itself is looked at, for as long as the process lives. */
const LEFT_LOOK_MS = 1_000;

/** Consumers that node-rdkafka closes on a pool thread. */
const closing = new Set<ConsumerHandle>();

/**
 * A process that exits while a consumer closes has no event loop any more to answer the closing revoke, which librdkafka waits for on a pool
 * thread, and Node waits for that thread: the partitions are given up here, a moment later, when that thread has asked for it.
 */
function giveUpAtExit(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  for (const handle of closing) handle.giveUpAtExit();
}

/** The one place that calls node-rdkafka's consumer. */
export class ConsumerHandle {
  readonly #client: Client<RawConsumer>;
  readonly #raw: RawConsumer;
  readonly #callbacks: ConsumerCallbacks;
  readonly #trace = new ConnectTrace();
  readonly #earlyErrors: unknown[] = [];
  /** A static member keeps its place in the group when it closes. */
  readonly #isStatic: boolean;
  readonly #loans = new Loans();
  #closing = false;
  /** Whether librdkafka was told after the close has begun that the partitions are given up. */
  #gaveUp = false;
  /** How many partitions were assigned and not yet given up. */
  #held = 0;
  #kind: RecordSource<unknown, unknown, unknown>['kind'] | undefined;
  #source: Pick<RecordSource<unknown, unknown, unknown>, 'assignmentLost' | 'close' | 'commit' | 'isMember' | 'storeOffsets'> | undefined;

  constructor(config: RoutedConfig, callbacks: ConsumerCallbacks) {
    this.#callbacks = callbacks;
    this.#isStatic = Boolean(config.global['group.instance.id']);
    this.#client = makeClient(
      rdkafka.KafkaConsumer,
      {
        ...config.global,
        rebalance_cb: (error: RawError, partitions: TopicPartition[]) => void this.#rebalance(error, partitions),
        offset_commit_cb: (error: RawError | null, partitions: TopicPartitionOffset[]) =>
          callbacks.onOffsetCommit(error ?? undefined, partitions),
      },
      { ...config.topic },
    );
    this.#raw = this.#client._client;
    this.#client.on('event.error', (error: RawError) => {
      this.#trace.error(error);
      callbacks.onError(error);
    });
    this.#client.on('event.log', (line: { severity: number; fac: string; message: string }) => {
      this.#trace.log(line);
      callbacks.onLog(line);
    });
    this.#client.on('event.stats', (statistics: { message: string }) => callbacks.onStatistics(statistics.message));
  }

  /** The token to sign in with by OAUTHBEARER, from now on; the first before {@link connect}. */
  setToken(token: string): void {
    this.#raw.setToken(token);
  }

  connect(bootstrapServers: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Metadata> {
    // Without a subscription a poll yields no record, but lets error events through.
    const pump = (): Promise<void> => new Promise((resolve) => this.#raw.consume(0, 1, (error) => resolve(this.#noteEarly(error))));
    return connectClient(this.#client, this.#trace, { bootstrapServers, timeoutMs, signal, pump });
  }

  /** What a broker said to a group's member before it subscribes: librdkafka asks for the coordinator at once, and tells the same error once. */
  #noteEarly(error: RawError | null): void {
    if (error !== null && kafkaCodeOf(error) > 0) this.#earlyErrors.push(consumeError(error));
  }

  /** @internal node-rdkafka's C++ object, for tests of the addon. */
  get native(): unknown {
    return this.#raw;
  }

  /** Where the records come from; let go of before the client disconnects. */
  source<K, V, H>(kind: 'portable' | 'packed', topics: TopicTable, decoders: RecordDecoders<K, V, H>): RecordSource<K, V, H> {
    const Source = kind === 'packed' ? PackedSource : PortableSource;
    const source = new Source(this.#raw, topics, decoders, this.#callbacks.onPartitionEof, this.#earlyErrors);
    this.#source = source;
    this.#kind = kind;
    return source;
  }

  async metadata(topic: string, timeoutMs: number): Promise<Metadata> {
    const answer = await requestMetadata(this.#raw, { topic, timeout: timeoutMs });
    if ('message' in answer) {
      throw fromLibrdkafka(`Cannot read the metadata of ${topic}`, answer, (message, options) => new ConsumeError(message, options));
    }
    return answer;
  }

  brokersAnswer(timeoutMs: number): Promise<boolean> {
    return brokersAnswer(this.#raw, timeoutMs);
  }

  subscribe(topics: readonly string[]): void {
    checkCode(`Cannot subscribe to ${topics.join(', ')}`, this.#raw.subscribe(topics), stateError);
  }

  /** Fetches these partitions from these offsets on, without a group. */
  assign(partitions: readonly TopicPartitionOffset[]): void {
    this.#raw.assign(partitions);
  }

  /** Leaves the group and joins it again; the partitions are revoked and assigned as in any rebalance. */
  rejoin(topics: readonly string[]): void {
    checkCode('Cannot leave the group to join it again', this.#raw.unsubscribe(), stateError);
    this.subscribe(topics);
  }

  /** Hands a rebalance on and completes it whatever happens: librdkafka, and a later close, would wait for it for ever. */
  async #rebalance(error: RawError, partitions: readonly TopicPartition[]): Promise<void> {
    const kind = this.#rebalanceKind(error);
    const plain = partitions.map(({ topic, partition }) => ({ topic, partition }));
    // Node-rdkafka's close begins on a pool thread: what comes after this comes from there, what came before may be answered before it.
    const ofClose = this.#closing;
    if (kind === 'assigned') this.#held += plain.length;
    try {
      const ready = this.#callbacks.onRebalance(kind, plain);
      if (ready !== undefined && !this.#closing) await ready;
    } finally {
      if (kind !== 'assigned') this.#held -= plain.length;
      if (this.#closing && (ofClose || this.#kind === 'packed')) this.#giveUp();
      else this.#completeRebalance(kind, plain);
    }
  }

  /**
   * Answers a rebalance when the close has begun. librdkafka (2.12) takes the first answer, whatever it says, for giving up all partitions, and
   * asks a second time when one was under way as the close began. An answer to that comes to a group that may be left by then: librdkafka drops
   * it, and the event loop would wait for it for ever.
   */
  #giveUp(): void {
    if (this.#gaveUp) return;
    this.#gaveUp = true;
    try {
      this.#raw.unassign();
    } catch {
      // The C++ object is gone, and the partitions with it.
    }
  }

  /** Answers what a close asks when no event loop will. It asks those that hold partitions. */
  giveUpAtExit(): void {
    if (this.#held > 0) this.#giveUp();
  }

  #rebalanceKind(error: RawError): RebalanceKind {
    if (kafkaCodeOf(error) === kafkaCodes.assignPartitions) return 'assigned';
    return this.#source?.assignmentLost?.() ? 'lost' : 'revoked';
  }

  #completeRebalance(kind: RebalanceKind, partitions: readonly TopicPartition[]): void {
    try {
      const cooperative = this.#raw.rebalanceProtocol() === 'COOPERATIVE';
      if (kind === 'assigned') {
        if (cooperative) this.#raw.incrementalAssign(partitions);
        else this.#raw.assign(partitions);
      } else if (cooperative) this.#raw.incrementalUnassign(partitions);
      else this.#raw.unassign();
    } catch (error) {
      // During a close the C++ object refuses some of these; the assignment is gone all the same.
      if (!this.#closing) this.#callbacks.onError(error as RawError);
    }
  }

  assignment(): TopicPartition[] {
    const answer = this.#raw.assignments();
    checkCode('Cannot read the assignment', answer, stateError);
    return (answer as TopicPartition[]).map(({ topic, partition }) => ({ topic, partition }));
  }

  /** Whether the coordinator has named this consumer a member of its group; false where the source cannot tell. */
  get isMember(): boolean {
    return this.#source?.isMember?.() ?? false;
  }

  /** The next offset to be fetched; undefined where nothing was consumed yet. */
  position(partitions: readonly TopicPartition[]): (number | undefined)[] {
    const answer = this.#raw.position(partitions);
    checkCode('Cannot read the position', answer, stateError);
    return (answer as { offset?: number }[]).map(({ offset }) => (offset !== undefined && offset >= 0 ? offset : undefined));
  }

  /** What the group has committed; undefined where nothing is. */
  committed(partitions: readonly TopicPartition[], timeoutMs: number): Promise<(number | undefined)[]> {
    return new Promise((resolve, reject) => {
      this.#raw.committed(partitions, timeoutMs, (error, answer = []) => {
        if (error) {
          reject(fromLibrdkafka('Cannot read committed offsets', error, (message, options) => new CommitError(message, options)));
          return;
        }
        resolve(offsetsOf(partitions, answer));
      });
    });
  }

  /** Sends a commit without waiting; the answer comes to `onOffsetCommit` while records are fetched. */
  commit(partitions: readonly TopicPartitionOffset[]): void {
    checkCode('Cannot commit', this.#raw.commit(partitions), (message, options) => new CommitError(message, options));
  }

  /**
   * Commits and gives the broker's answer, undefined for success. Undefined at once where the source cannot tell: use {@link commit}
   * then.
   */
  commitConfirmed(partitions: readonly TopicPartitionOffset[], timeoutMs: number): Promise<ToolkitError | undefined> | undefined {
    return this.#source?.commit?.(partitions, timeoutMs).then((code) => {
      if (code === kafkaCodes.timedOut) return commitTimeout(partitions);
      return commitCallbackError(errorOfCode(code), partitions[0]);
    });
  }

  /** Marks offsets for the next automatic commit; those of partitions that are no longer assigned are left out. */
  storeOffsets(partitions: readonly TopicPartitionOffset[]): void {
    if (partitions.length > 0) this.#source?.storeOffsets(partitions);
  }

  /** A partition that was just assigned refuses a seek until its fetcher has started: it is asked again meanwhile. */
  async seek(at: TopicPartitionOffset, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const remaining = Math.max(1, Math.ceil(deadline - performance.now()));
      const error = await new Promise<RawError | null>((resolve) => this.#raw.seek(at, remaining, resolve));
      if (!error) return;
      if (kafkaCodeOf(error) !== kafkaCodes.state || remaining <= 1 || this.#closing) {
        throw fromLibrdkafka(`Cannot seek ${at.topic} [${at.partition}] to ${at.offset}`, error, stateError, at);
      }
      await sleep(20);
    }
  }

  pause(partitions: readonly TopicPartition[]): void {
    checkCode('Cannot pause', this.#raw.pause(partitions), stateError);
  }

  resume(partitions: readonly TopicPartition[]): void {
    checkCode('Cannot resume', this.#raw.resume(partitions), stateError);
  }

  /** First and next offset of a partition, asked of its leader. */
  watermarks({ topic, partition }: TopicPartition, timeoutMs: number): Promise<{ low: number; high: number }> {
    return new Promise((resolve, reject) => {
      this.#raw.queryWatermarkOffsets(topic, partition, timeoutMs, (error, offsets) => {
        if (error) {
          const make = (message: string, options: ToolkitErrorOptions): ConsumeError => new ConsumeError(message, options);
          reject(fromLibrdkafka(`Cannot read the watermarks of ${topic} [${partition}]`, error, make, { topic, partition }));
        } else resolve({ low: offsets!.lowOffset, high: offsets!.highOffset });
      });
    });
  }

  /** The first offset of each partition whose record is not older, undefined where there is none. */
  offsetsForTime(partitions: readonly TopicPartition[], timestampMs: number, timeoutMs: number): Promise<(number | undefined)[]> {
    const asked = partitions.map(({ topic, partition }) => ({ topic, partition, offset: timestampMs }));
    return new Promise((resolve, reject) => {
      this.#raw.offsetsForTimes(asked, timeoutMs, (error, answer = []) => {
        if (error) {
          reject(fromLibrdkafka('Cannot look up offsets by time', error, (message, options) => new ConsumeError(message, options)));
          return;
        }
        resolve(offsetsOf(partitions, answer));
      });
    });
  }

  /** Next offset of a partition as librdkafka learned it with its last fetch, without asking; undefined before that. */
  knownEnd({ topic, partition }: TopicPartition): number | undefined {
    const answer = this.#client._isConnected ? this.#raw.getWatermarkOffsets(topic, partition) : 0;
    return typeof answer === 'object' && answer.highOffset >= 0 ? answer.highOffset : undefined;
  }

  /**
   * Asks to leave the group before the client is closed: librdkafka (2.12) sends no request to leave when a close meets a cooperative member
   * that has no partitions just then, and the group would wait for it until its session times out. A static member stays (KIP-345).
   */
  leave(): void {
    if (this.#isStatic) return;
    try {
      this.#raw.unsubscribe();
    } catch {
      // The close that follows says what there is to say.
    }
  }

  /**
   * Whether {@link leave} waits for the end of a rebalance, of a consumer without partitions: such a one must not be closed before. Its close
   * sends no request to leave, and an assignment that comes in the midst of it makes librdkafka (2.12) end the process by a segmentation fault.
   * Undefined where the source cannot tell.
   */
  isRebalancing(): boolean | undefined {
    if (this.#isStatic || this.#raw.rebalanceProtocol() !== 'COOPERATIVE') return false;
    return this.#source?.isMember?.();
  }

  /** Lets a call on another thread use the native client, which is not freed before it is over. */
  lend<T>(use: (raw: RawConsumer) => Promise<T>): Promise<T> {
    return this.#loans.track(use(this.#raw));
  }

  /**
   * Leaves the group (a static member stays in it, KIP-345) and frees the native client; false when that took longer than `timeoutMs`: it goes
   * on by itself.
   *
   * @param answered False when the last commit failed, so that the coordinator may be away. librdkafka waits for it until the session times out,
   *   without the addon on a thread that the end of the process waits for: that is begun only when the process has not ended by then.
   */
  async disconnect(timeoutMs: number, { answered = true }: { readonly answered?: boolean } = {}): Promise<boolean> {
    if (!this.#client._isConnected) return true;
    const deadline = performance.now() + timeoutMs;
    const remaining = (): number => Math.max(1, deadline - performance.now());
    if (!(await this.#loans.returned(timeoutMs))) return false;
    this.#source?.close();
    this.#closing = true;
    this.#client._isConnected = false;
    if (this.#kind === 'packed') {
      const left = await this.#leaveWithin(remaining());
      return left && (await within(this.#free(), remaining()));
    }
    if (answered) return within(this.#close(), remaining());
    setTimeout(() => void this.#close(), LEFT_LOOK_MS).unref();
    return false;
  }

  /** Leaves the group without a thread that waits for it. */
  async #leaveWithin(timeoutMs: number): Promise<boolean> {
    let wake = (): void => undefined;
    const close = openConsumerClose(this.#raw, () => wake());
    const left = new Promise<void>((resolve) => {
      wake = () => {
        if (close.serve()) resolve();
      };
      wake();
    });
    const inTime = await within(left, timeoutMs);
    if (inTime) close.release();
    else this.#leaveBehind(close);
    return inTime;
  }

  /** Frees the client when librdkafka is done with it, if the process lives that long. */
  #leaveBehind(close: ConsumerClose): void {
    close.quiet();
    const look = setInterval(() => {
      if (!close.serve()) return;
      clearInterval(look);
      close.release();
      void this.#free();
    }, LEFT_LOOK_MS);
    look.unref();
  }

  /** Leaves the group and frees the native client, on a pool thread. */
  async #close(): Promise<void> {
    if (closing.size === 0) process.on('exit', giveUpAtExit);
    closing.add(this);
    await this.#free();
    closing.delete(this);
    if (closing.size === 0) process.off('exit', giveUpAtExit);
  }

  /** Frees the native client, on a pool thread. */
  async #free(): Promise<void> {
    await new Promise<void>((resolve) => this.#raw.disconnect(() => resolve()));
    this.#raw.configureCallbacks(false, this.#client._cb_configs);
  }
}

/** False when `work` took longer than `timeoutMs`. */
async function within(work: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const inTime = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}

/** What an answer says of each partition; undefined where it has no offset. */
function offsetsOf(
  partitions: readonly TopicPartition[],
  answer: readonly (TopicPartition & { readonly offset?: number })[],
): (number | undefined)[] {
  const byPlace = new Map(answer.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]));
  return partitions.map(({ topic, partition }) => {
    const offset = byPlace.get(`${topic}/${partition}`);
    return offset !== undefined && offset >= 0 ? offset : undefined;
  });
}

/** The error an offset commit callback carries, undefined for success or for "nothing to commit". */
export function commitCallbackError(error: RawError | undefined, at: TopicPartitionOffset | undefined): CommitError | undefined {
  if (error === undefined) return undefined;
  const code = kafkaCodeOf(error);
  if (code === 0 || code === kafkaCodes.noOffset) return undefined;
  const where = at === undefined ? '' : ` ${at.topic} [${at.partition}] @ ${at.offset}`;
  const text = error.message === '' ? errorOfCode(code).message : error.message;
  return new CommitError(`Cannot commit${where}: ${text} (librdkafka ${code})`, { kafkaCode: code, cause: error, ...at });
}

/** The error of a commit that was not answered in time. */
export function commitTimeout(partitions: readonly TopicPartitionOffset[]): CommitError {
  const places = partitions.map(({ topic, partition, offset }) => `${topic} [${partition}] @ ${offset}`).join(', ');
  return new CommitError(`The commit of ${places} was not confirmed in time; these records may come again.`, {
    kafkaCode: kafkaCodes.timedOut,
    ...partitions[0]!,
  });
}
