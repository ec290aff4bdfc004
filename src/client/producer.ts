import { EventEmitter } from 'node:events';
import { orAborted } from '../abort.ts';
import { fromLibrdkafka, type RawError } from '../binding/node-rdkafka.ts';
import type { PackedRecords } from '../binding/packed-records.ts';
import { ProducerHandle } from '../binding/producer-handle.ts';
import type { TransactionCalls } from '../binding/transactions.ts';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { ClosedError, type ConnectError, ConsumeError, type DeliveryError, FatalError, StateError, TimeoutError } from '../errors.ts';
import { rawSerializer } from '../serde.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { addBatch, addPackedBatch } from './add-batch.ts';
import {
  BatchDelivery,
  type BatchDeliveryCallback,
  CallbackDelivery,
  Delivery,
  type DeliveryCallback,
  DeliveryRing,
  nextSequence,
  type RecordMetadata,
} from './delivery.ts';
import { type EncodedRecord, type EncodeSettings, encodeRecord, type ProducerRecord, prepareRecord } from './encode-record.ts';
import type { ProducerEvents, Statistics } from './events.ts';
import { LocalQueue, type QueueLimits } from './local-queue.ts';
import { connectWithTokens, type TokenRefresher } from './token-refresher.ts';

export type { ProducerRecord };

/** A producer's settings, all resolved. */
export interface ProducerSettings<K, V> extends EncodeSettings<K, V>, QueueLimits {
  readonly config: RoutedConfig;
  readonly bootstrapServers: string;
  readonly connectTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  /** librdkafka's `enable.idempotence`, which a `transactional.id` implies. */
  readonly idempotent: boolean;
  /** librdkafka's `transaction.timeout.ms`; undefined without a `transactional.id`. */
  readonly transactionTimeoutMs: number | undefined;
  readonly tokens: TokenRefresher | undefined;
}

/**
 * A Kafka producer, typed in key and value. Made by `createProducer`.
 *
 * Records of one producer to one partition keep their order. Each is numbered; consumers hold offsets back until every output
 * produced before `enqueueAutoCommits` is acknowledged. A record that fails stays failed: offsets behind it are held for good.
 */
export class Producer<K = Uint8Array | string | null, V = Uint8Array | string | null> extends EventEmitter<ProducerEvents> {
  readonly #settings: ProducerSettings<K, V>;
  readonly #handle: ProducerHandle;
  readonly #ring = new DeliveryRing();
  readonly #acknowledgements: Acknowledgements;
  /** Set once connected. */
  #queue!: LocalQueue;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closed: Promise<void> | undefined;
  #fatal: FatalError | undefined;

  constructor(settings: ProducerSettings<K, V>) {
    super();
    this.#settings = settings;
    this.#acknowledgements = new Acknowledgements(this.#ring, settings.idempotent, {
      // librdkafka takes no record any more, whatever event said so before.
      onFatal: (error) => {
        this.#fatal ??= new FatalError(`Kafka producer: ${error.message}`, { kafkaCode: error.kafkaCode, cause: error });
      },
      onFailed: (error) => this.emit('deliveryError', error),
      onCallbackThrew: (error) => this.emit('clientError', error),
    });
    this.#handle = new ProducerHandle(settings.config, settings.sink, {
      onDelivery: (ticket, code, partition, offset, timestamp) => this.#queue.report(ticket, code, partition, offset, timestamp),
      onError: (error) => this.#librdkafkaError(error),
      onStatistics: (json) => {
        if (this.listenerCount('statistics') > 0) this.emit('statistics', JSON.parse(json) as Statistics);
      },
      onLog: ({ severity, fac, message }) => this.emit('log', { severity, facility: fac, message }),
    });
  }

  /** How records go to librdkafka. */
  get sink(): 'portable' | 'packed' {
    return this.#settings.sink;
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** Why librdkafka declared this producer dead; undefined while it is alive. */
  get fatalError(): FatalError | undefined {
    return this.#fatal;
  }

  /** @internal Size of the largest record. */
  get recordMaxBytes(): number {
    return this.#settings.recordMaxBytes;
  }

  /** @internal How long a transaction may take; undefined when the producer has no `transactional.id`. */
  get transactionTimeoutMs(): number | undefined {
    return this.#settings.transactionTimeoutMs;
  }

  /** @internal The transactional calls. */
  get transactions(): TransactionCalls {
    return this.#handle.transactions;
  }

  /** Whether a broker answers a request for metadata within `timeoutMs`; false once it is closed. Holds a thread of libuv's pool meanwhile. */
  async brokersAnswer(timeoutMs: number): Promise<boolean> {
    return this.#state === 'open' && (await this.#handle.brokersAnswer(timeoutMs));
  }

  /** Records accepted whose delivery report is outstanding. */
  get inFlight(): number {
    return this.#ring.size;
  }

  /**
   * Every output of this producer numbered above `since` and up to the result is acknowledged. `Number.MAX_SAFE_INTEGER` while
   * none is outstanding; it stays below a record that failed.
   */
  acknowledgedSequence(since = 0): number {
    return this.#acknowledgements.sequence(since);
  }

  /** A record after number `since` that failed, if any: offsets behind it are held back for good. */
  failure(since = 0): DeliveryError | undefined {
    return this.#acknowledgements.failure(since);
  }

  /** @internal Whoever was told of these failures has dealt with them: they hold no offset back any more. */
  forgive(error: DeliveryError): void {
    this.#acknowledgements.forgive(error);
  }

  /** @internal As {@link forgive} for what was produced above number `since` and up to `until`, as far as somebody was told of it. */
  pardon(since: number, until: number): void {
    this.#acknowledgements.pardon(since, until);
  }

  /**
   * @internal Offsets that are noted from now on wait until what this gives back is called: for a record that is sent by {@link sendRaw} until
   * it arrives, however often.
   */
  hold(): () => void {
    return this.#acknowledgements.hold();
  }

  /** @internal Failures up to now belong to a transaction that was aborted: nobody need be told. */
  forgetFailures(): void {
    this.#acknowledgements.forgetFailures();
  }

  /** @internal Called once, by `createProducer`. */
  async connect(signal: AbortSignal | undefined): Promise<void> {
    const { bootstrapServers, connectTimeoutMs, tokens } = this.#settings;
    try {
      const onError = (error: ConnectError): boolean => this.emit('clientError', error);
      await connectWithTokens(this.#handle, tokens, { bootstrapServers, timeoutMs: connectTimeoutMs, signal, onError });
      this.#queue = new LocalQueue(this.#handle.sink, this.#ring, this.#acknowledgements, this.#settings, () => this.#assertOpen());
    } catch (error) {
      this.#state = 'closed';
      tokens?.stop();
      throw error;
    }
  }

  /**
   * Resolves once the record is in the local queue, which is what a fast loop waits for; `delivery.delivered` resolves once the
   * broker has it. A full queue is waited for up to `PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS`.
   *
   * @throws EncodeError when key, value or headers do not fit
   * @throws RecordTooLargeError at once when the record exceeds `message.max.bytes`, or the whole queue
   * @throws QueueFullError when the queue stayed full: the record was not taken
   * @throws FatalError | ClosedError when the producer is of no use any more
   */
  async enqueue(
    record: ProducerRecord<K, V>,
    onDelivery?: DeliveryCallback,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Delivery> {
    this.#assertOpen();
    const pending = prepareRecord(record, this.#settings);
    if (pending === undefined && !this.#queue.mustWait) {
      const encoded = encodeRecord(record, this.#settings);
      if (!this.#queue.isFull(encoded)) return this.#add(record, encoded, onDelivery, 0);
    }
    const deadline = this.#queue.deadline();
    return this.#queue.lineUp(pending, signal, async (reserved) => {
      const encoded = encodeRecord(record, this.#settings);
      await this.#queue.roomFor(record.topic, encoded, deadline, signal);
      return this.#add(record, encoded, onDelivery, reserved);
    });
  }

  /**
   * As {@link enqueue} without a promise, for loops that must be as fast as can be: true when the record is in the local queue; false,
   * and nothing was done, when it has to wait for room, for a schema, for those before it or for the event loop's turn. Then await
   * {@link enqueue}, which waits and gives the turn:
   *
   * @example
   * if (!producer.tryEnqueue(record, onDelivery)) await producer.enqueue(record, onDelivery);
   *
   * @throws EncodeError | RecordTooLargeError | FatalError | ClosedError as {@link enqueue}, at once
   */
  tryEnqueue(record: ProducerRecord<K, V>, onDelivery?: DeliveryCallback): boolean {
    this.#assertOpen();
    if (this.#queue.mustWait) {
      this.#queue.noteTurn();
      return false;
    }
    const pending = prepareRecord(record, this.#settings);
    if (pending !== undefined) {
      // Its failure is told by the `enqueue` that follows.
      pending.catch(ignore);
      return false;
    }
    const encoded = encodeRecord(record, this.#settings);
    if (this.#queue.isFull(encoded)) return false;
    this.#queue.add(record, encoded, new CallbackDelivery(record.topic, onDelivery), nextSequence(), 0);
    return true;
  }

  /**
   * As {@link enqueue} for many records at once, with one delivery for all: cheaper a record, and the records of a topic's partition
   * keep the order they are given in. Resolves once all are in the local queue.
   *
   * @throws EncodeError | RecordTooLargeError for any of them: none was taken
   * @throws QueueFullError when the queue was full from the start: none was taken. When it stayed full half way, the records that were
   * not taken fail in the delivery, with kafkaCode -184.
   */
  async enqueueBatch(
    records: readonly ProducerRecord<K, V>[],
    onDelivery?: BatchDeliveryCallback,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<BatchDelivery> {
    this.#assertOpen();
    const topic = records[0]?.topic;
    if (topic === undefined) throw new StateError('Expected at least one record to produce');
    const pending = records.map((record) => prepareRecord(record, this.#settings)).filter((each) => each !== undefined);
    const deadline = this.#queue.deadline();
    return this.#queue.lineUp(pending.length === 0 ? undefined : Promise.all(pending), signal, async (reserved) => {
      const encoded = records.map((record) => encodeRecord(record, this.#settings));
      await this.#queue.roomFor(topic, encoded[0]!, deadline, signal);
      const batch = new BatchDelivery(records.length, topic, onDelivery, reserved);
      await addBatch(batch, records, encoded, { queue: this.#queue, acknowledgements: this.#acknowledgements, signal });
      return batch;
    });
  }

  /**
   * @internal As {@link enqueueBatch} for records that are packed already, e.g. by a worker. Their memory is this producer's from now on.
   * What could not be taken fails in the delivery.
   */
  async enqueuePacked(
    records: PackedRecords,
    onDelivery?: BatchDeliveryCallback,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<BatchDelivery> {
    this.#assertOpen();
    return this.#queue.lineUp(undefined, signal, async (reserved) => {
      const batch = new BatchDelivery(records.length, records.topics[records.columns[0]!]!, onDelivery, reserved);
      await addPackedBatch(batch, records, { queue: this.#queue, acknowledgements: this.#acknowledgements, signal });
      return batch;
    });
  }

  /**
   * Produces and waits for the broker's acknowledgement.
   *
   * @throws DeliveryError when it was not delivered, and all that {@link enqueue} throws
   */
  async send(record: ProducerRecord<K, V>, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<RecordMetadata> {
    const delivery = await this.enqueue(record, undefined, options);
    return orAborted(delivery.delivered, options.signal);
  }

  /**
   * @internal Produces bytes as they are, past the serializers, and waits for the acknowledgement. A failure is the caller's to deal with:
   * no offset is held back by it.
   *
   * @throws DeliveryError when it was not delivered, and all that {@link enqueue} throws
   */
  async sendRaw(record: ProducerRecord<Buffer | null, Buffer | null>): Promise<RecordMetadata> {
    this.#assertOpen();
    const deadline = this.#queue.deadline();
    const delivery = await this.#queue.lineUp(undefined, undefined, async (reserved) => {
      const encoded = encodeRecord(record, { ...this.#settings, keySerializer: rawSerializer, valueSerializer: rawSerializer });
      await this.#queue.roomFor(record.topic, encoded, deadline, undefined);
      const owned = new Delivery(nextSequence(), record.topic, undefined, reserved, true);
      this.#queue.add(record, encoded, owned, owned.sequence, 0);
      // Asked for at once, so that a failure has been told to somebody.
      owned.delivered.catch(ignore);
      return owned;
    });
    return delivery.delivered;
  }

  #add(record: ProducerRecord<K, V>, encoded: EncodedRecord, onDelivery: DeliveryCallback | undefined, reserved: number): Delivery {
    const delivery = new Delivery(nextSequence(), record.topic, onDelivery, reserved);
    this.#queue.add(record, encoded, delivery, delivery.sequence, 0);
    return delivery;
  }

  #librdkafkaError(error: RawError): void {
    const typed = fromLibrdkafka('Kafka producer', error, (message, options) => new ConsumeError(message, options));
    if (typed instanceof FatalError) this.#fatal ??= typed;
    if (typed.code === 'ERR_AUTHENTICATION') this.#settings.tokens?.renew();
    this.emit('clientError', typed);
  }

  /** Throws the failure of a record nobody was told about: a loop that does not await deliveries learns of it here. */
  throwIfFailed(since = 0): void {
    this.#acknowledgements.throwIfFailed(since);
  }

  /**
   * Sends what lingers and waits until every record enqueued before has its report.
   *
   * @throws DeliveryError when one failed that nobody was told about
   * @throws TimeoutError when reports are still outstanding at the deadline
   */
  async flush({
    timeoutMs = this.#settings.shutdownTimeoutMs,
    signal,
  }: {
    readonly timeoutMs?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {}): Promise<void> {
    if (this.#state === 'closed') throw new ClosedError('The producer is closed');
    await this.#queue.drain(timeoutMs, signal);
    const { outstanding } = this.#acknowledgements;
    if (outstanding > 0) {
      throw new TimeoutError(`${outstanding} records are still without a delivery report after ${timeoutMs} ms`);
    }
    this.throwIfFailed();
  }

  /**
   * Flushes and frees the client. Calling it again gives the same promise.
   *
   * @throws DeliveryError for the first record that failed unnoticed, or had no report at the deadline; it is closed all the same
   */
  close({ timeoutMs = this.#settings.shutdownTimeoutMs }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(timeoutMs);
    return this.#closed;
  }

  async #close(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    this.#state = 'closing';
    await this.#queue.drain(timeoutMs, undefined);
    this.#acknowledgements.abandon();
    this.#settings.tokens?.stop();
    const clean = await this.#handle.disconnect(Math.max(1_000, deadline - performance.now()));
    this.#state = 'closed';
    this.emit('closed');
    this.throwIfFailed();
    if (!clean) throw new TimeoutError(`The producer did not end within ${timeoutMs} ms`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#fatal !== undefined) throw this.#fatal;
    if (this.#state !== 'open') throw new ClosedError('The producer is closed');
  }
}

const ignore = (): void => undefined;
