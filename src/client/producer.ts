import { EventEmitter } from 'node:events';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { errorOfCode, fromLibrdkafka, type RawError } from '../binding/node-rdkafka.ts';
import { OUTPUT_COLUMNS, type PackedRecords, unpackRecords } from '../binding/packed-records.ts';
import { ProducerHandle } from '../binding/producer-handle.ts';
import type { RecordSink } from '../binding/record-sink.ts';
import type { TransactionCalls } from '../binding/transactions.ts';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import {
  ClosedError,
  type ConnectError,
  ConsumeError,
  DeliveryError,
  FatalError,
  isToolkitError,
  QueueFullError,
  StateError,
  TimeoutError,
  type ToolkitError,
} from '../errors.ts';
import { hintOf, isFatalCode, isRetriableCode, kafkaCodes } from '../kafka-codes.ts';
import { rawSerializer } from '../serde.ts';
import {
  BatchDelivery,
  type BatchDeliveryCallback,
  BatchDeliveryError,
  CallbackDelivery,
  Delivery,
  type DeliveryCallback,
  DeliveryRing,
  nextSequence,
  type Outstanding,
  type RecordMetadata,
} from './delivery.ts';
import { DeliveryFailures } from './delivery-failures.ts';
import { type EncodedRecord, type EncodeSettings, encodeRecord, type ProducerRecord, prepareRecord } from './encode-record.ts';
import type { ProducerEvents, Statistics } from './events.ts';
import { toRawHeaders, unpackHeaders } from './produce-headers.ts';
import { connectWithTokens, type TokenRefresher } from './token-refresher.ts';

export type { ProducerRecord };

/** A producer's settings, all resolved. */
export interface ProducerSettings<K, V> extends EncodeSettings<K, V> {
  readonly config: RoutedConfig;
  readonly queueMaxRecords: number;
  readonly queueMaxBytes: number;
  readonly bootstrapServers: string;
  readonly connectTimeoutMs: number;
  readonly queueFullTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
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
  /** Set once connected. */
  #sink!: RecordSink;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closed: Promise<void> | undefined;
  #sinceTurn = 0;
  #turnNoted = false;
  /** Settles when whoever could not produce at once has produced or given up; `#inLine` of them are left. */
  #line: Promise<void> = Promise.resolve();
  #inLine = 0;
  /** Numbers of records that had to wait before they were queued, until their reports are in. */
  readonly #reserved = new Set<number>();
  /** Numbers of what is not produced yet and will be, until it is acknowledged. */
  readonly #held = new Set<number>();
  readonly #failures = new DeliveryFailures();
  #unobservedFailure: DeliveryError | undefined;
  #fatal: FatalError | undefined;
  #onReports: (() => void)[] = [];

  constructor(settings: ProducerSettings<K, V>) {
    super();
    this.#settings = settings;
    this.#handle = new ProducerHandle(settings.config, settings.sink, {
      onDelivery: (ticket, code, partition, offset, timestamp) => this.#report(ticket, code, partition, offset, timestamp),
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

  /** @internal `message.max.bytes`. */
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

  /** Records accepted whose delivery report is outstanding. */
  get inFlight(): number {
    return this.#ring.size;
  }

  /**
   * Every output of this producer numbered above `since` and up to the result is acknowledged. `Number.MAX_SAFE_INTEGER` while
   * none is outstanding; it stays below a record that failed.
   */
  acknowledgedSequence(since = 0): number {
    // Numbers are reserved in ascending order, so the first is the lowest.
    const oldest = Math.min(this.#ring.oldest ?? Number.MAX_SAFE_INTEGER, lowestOf(this.#reserved), lowestOf(this.#held));
    const lowest = Math.min(oldest, this.#failures.heldFrom(since));
    return lowest === Number.MAX_SAFE_INTEGER ? lowest : lowest - 1;
  }

  /** A record after number `since` that failed, if any: offsets behind it are held back for good. */
  failure(since = 0): DeliveryError | undefined {
    return this.#failures.after(since);
  }

  /** @internal Whoever was told of these failures has dealt with them: they hold no offset back any more. */
  forgive(error: DeliveryError): void {
    const each = error instanceof BatchDeliveryError ? error.failures.map((failure) => failure.error) : [error];
    for (const { sequence } of each) this.#failures.forget(sequence);
  }

  /**
   * @internal Offsets that are noted from now on wait until what this gives back is called: for a record that is sent by {@link sendRaw} until
   * it arrives, however often.
   */
  hold(): () => void {
    const number = nextSequence();
    this.#held.add(number);
    return () => void this.#held.delete(number);
  }

  /** @internal Failures up to now belong to a transaction that was aborted: nobody need be told. */
  forgetFailures(): void {
    this.#failures.clear();
    this.#unobservedFailure = undefined;
  }

  /** @internal Called once, by `createProducer`. */
  async connect(signal: AbortSignal | undefined): Promise<void> {
    const { bootstrapServers, connectTimeoutMs, tokens } = this.#settings;
    try {
      const onError = (error: ConnectError): boolean => this.emit('clientError', error);
      await connectWithTokens(this.#handle, tokens, { bootstrapServers, timeoutMs: connectTimeoutMs, signal, onError });
      this.#sink = this.#handle.sink;
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
   * @throws RecordTooLargeError at once when the record exceeds `message.max.bytes`
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
    if (pending === undefined && !this.#mustWait()) {
      const encoded = encodeRecord(record, this.#settings);
      if (!this.#isFull(encoded)) return this.#add(record, encoded, onDelivery, 0);
    }
    const deadline = this.#queueFullDeadline();
    return this.#queueUp(pending, signal, async (reserved) => {
      const encoded = encodeRecord(record, this.#settings);
      await this.#roomFor(record.topic, encoded, deadline, signal);
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
    if (this.#mustWait()) {
      this.#noteTurn();
      return false;
    }
    const pending = prepareRecord(record, this.#settings);
    if (pending !== undefined) {
      // Its failure is told by the `enqueue` that follows.
      pending.catch(ignore);
      return false;
    }
    const encoded = encodeRecord(record, this.#settings);
    if (this.#isFull(encoded)) return false;
    this.#hand(record, encoded, new CallbackDelivery(record.topic, onDelivery), nextSequence(), 0);
    return true;
  }

  /** The event loop takes its turn by itself where nobody awaits anything: a caller that comes back later may go on. */
  #noteTurn(): void {
    if (this.#turnNoted) return;
    this.#turnNoted = true;
    setImmediate(() => {
      this.#turnNoted = false;
      this.#sinceTurn = 0;
    });
  }

  /** True when others are in line, or the event loop is due its turn. */
  #mustWait(): boolean {
    return this.#inLine > 0 || this.#sinceTurn >= this.#sink.recordsPerTurn;
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
    const deadline = this.#queueFullDeadline();
    return this.#queueUp(pending.length === 0 ? undefined : Promise.all(pending), signal, async (reserved) => {
      const encoded = records.map((record) => encodeRecord(record, this.#settings));
      await this.#roomFor(topic, encoded[0]!, deadline, signal);
      const batch = new BatchDelivery(records.length, topic, onDelivery, reserved);
      await this.#addBatch(batch, records, encoded, signal);
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
    return this.#queueUp(undefined, signal, async (reserved) => {
      const batch = new BatchDelivery(records.length, records.topics[records.columns[0]!]!, onDelivery, reserved);
      for (let from = 0; from < records.length; ) {
        const to = this.#packedRoom(records, from);
        if (to > from) this.#handPacked(batch, records, from, to);
        else await this.#waitForPackedRoom(batch, records, from, signal);
        from = to;
      }
      return batch;
    });
  }

  /** Up to which record the queue has room. */
  #packedRoom({ length, columns }: PackedRecords, from: number): number {
    const { queueMaxRecords, queueMaxBytes } = this.#settings;
    const most = Math.min(length, from + queueMaxRecords - this.#ring.size);
    let { bytes } = this.#ring;
    let to = from;
    for (; to < most; to++) {
      bytes += Math.max(columns[to * OUTPUT_COLUMNS + 3]!, 0);
      if (bytes > queueMaxBytes) break;
    }
    return to;
  }

  /** When the queue stays full, the records from `from` on fail. */
  async #waitForPackedRoom(batch: BatchDelivery, records: PackedRecords, from: number, signal: AbortSignal | undefined): Promise<void> {
    const deadline = this.#queueFullDeadline();
    try {
      while (this.#packedRoom(records, from) === from) {
        this.#assertOpen();
        if (performance.now() >= deadline) throw this.#queueFull(batch.topic);
        await orAborted(this.#makeRoom(), signal);
      }
      this.#assertOpen();
    } catch (error) {
      const refused = isToolkitError(error) ? error : new StateError(`Records were not taken: ${String(error)}`, { cause: error });
      for (let index = from; index < records.length; index++) {
        const topic = records.topics[records.columns[index * OUTPUT_COLUMNS]!]!;
        this.#fail(batch, index, this.#notTaken(refused, nextSequence(), topic));
      }
      throw refused;
    }
  }

  #handPacked(batch: BatchDelivery, records: PackedRecords, from: number, to: number): void {
    const firstTicket = this.#ring.nextTicket;
    if (this.#ring.size === 0) this.#sink.watch(true);
    this.#sinceTurn += to - from;
    for (let index = from; index < to; index++) {
      this.#ring.push(batch, nextSequence(), index, Math.max(records.columns[index * OUTPUT_COLUMNS + 3]!, 0));
    }
    if (this.#sink.addPacked !== undefined) {
      this.#sink.addPacked(records, from, to, firstTicket);
      return;
    }
    let ticket = firstTicket;
    for (const { topic, partition, key, value, timestamp, headers } of unpackRecords(records, from, to)) {
      this.#sink.add(topic, partition, key, value, timestamp, toRawHeaders(unpackHeaders(headers), topic), ticket++);
    }
  }

  /**
   * What takes a while is done in the order of the calls: schemas that must be fetched, room in the queue, turns of the event loop. It
   * gets its number now, so that an offset noted meanwhile waits for it.
   */
  async #queueUp<T>(
    pending: Promise<unknown> | undefined,
    signal: AbortSignal | undefined,
    work: (reserved: number) => Promise<T>,
  ): Promise<T> {
    // Waited for when it is its turn; until then its failure is nobody's.
    pending?.catch(ignore);
    const reserved = nextSequence();
    this.#reserved.add(reserved);
    this.#inLine++;
    const before = this.#line;
    const mine = (async () => {
      try {
        await orAborted(before, signal);
        if (pending !== undefined) await orAborted(pending, signal);
        if (this.#sinceTurn >= this.#sink.recordsPerTurn) await this.#turn();
        return await work(reserved);
      } catch (error) {
        this.#reserved.delete(reserved);
        throw error;
      } finally {
        this.#inLine--;
      }
    })();
    // One that gives up early must not let those behind it overtake those before it.
    const settled = mine.then(ignore, ignore);
    this.#line = before.then(() => settled);
    return mine;
  }

  async #addBatch(
    batch: BatchDelivery,
    records: readonly ProducerRecord<K, V>[],
    encoded: readonly EncodedRecord[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let refused: ToolkitError | undefined;
    for (let index = 0; index < records.length; index++) {
      const record = records[index]!;
      if (refused === undefined && this.#isFull(encoded[index]!)) {
        try {
          await this.#roomFor(record.topic, encoded[index]!, this.#queueFullDeadline(), signal);
        } catch (error) {
          // Those before are on their way: what becomes of each is told by the delivery.
          refused = isToolkitError(error)
            ? error
            : new StateError(`A record for ${record.topic} was not taken: ${String(error)}`, { cause: error });
        }
      }
      const sequence = nextSequence();
      if (refused === undefined) this.#hand(record, encoded[index]!, batch, sequence, index);
      else this.#fail(batch, index, this.#notTaken(refused, sequence, record.topic));
    }
  }

  #notTaken({ message, retriable, kafkaCode }: ToolkitError, sequence: number, topic: string): DeliveryError {
    return new DeliveryError(message, sequence, { retriable, kafkaCode, topic });
  }

  /** Reports, timers and signals get their turn. */
  async #turn(): Promise<void> {
    this.#sinceTurn = 0;
    this.#sink.submit();
    await immediate();
  }

  #isFull({ value }: EncodedRecord): boolean {
    const { queueMaxRecords, queueMaxBytes } = this.#settings;
    return this.#ring.size >= queueMaxRecords || this.#ring.bytes + (value?.length ?? 0) > queueMaxBytes;
  }

  #queueFullDeadline(): number {
    return performance.now() + this.#settings.queueFullTimeoutMs;
  }

  async #roomFor(topic: string, encoded: EncodedRecord, deadline: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#isFull(encoded)) {
      this.#assertOpen();
      if (performance.now() >= deadline) throw this.#queueFull(topic);
      await orAborted(this.#makeRoom(), signal);
    }
    this.#assertOpen();
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
    const deadline = this.#queueFullDeadline();
    const delivery = await this.#queueUp(undefined, undefined, async (reserved) => {
      const encoded = encodeRecord(record, { ...this.#settings, keySerializer: rawSerializer, valueSerializer: rawSerializer });
      await this.#roomFor(record.topic, encoded, deadline, undefined);
      const owned = new Delivery(nextSequence(), record.topic, undefined, reserved, true);
      this.#hand(record, encoded, owned, owned.sequence, 0);
      // Asked for at once, so that a failure has been told to somebody.
      owned.delivered.catch(ignore);
      return owned;
    });
    return delivery.delivered;
  }

  #add(record: ProducerRecord<K, V>, encoded: EncodedRecord, onDelivery: DeliveryCallback | undefined, reserved: number): Delivery {
    const delivery = new Delivery(nextSequence(), record.topic, onDelivery, reserved);
    this.#hand(record, encoded, delivery, delivery.sequence, 0);
    return delivery;
  }

  #hand(
    record: Pick<ProducerRecord, 'topic' | 'partition' | 'timestamp'>,
    encoded: EncodedRecord,
    outstanding: Outstanding,
    sequence: number,
    index: number,
  ): void {
    const { topic, partition, timestamp } = record;
    const { key, value, headers } = encoded;
    const ticket = this.#ring.nextTicket;
    if (this.#ring.size === 0) this.#sink.watch(true);
    this.#sinceTurn++;
    this.#ring.push(outstanding, sequence, index, value === null ? 0 : value.length);
    this.#sink.add(topic, partition, key, value, timestamp, headers, ticket);
  }

  #queueFull(topic: string): QueueFullError {
    const seconds = this.#settings.queueFullTimeoutMs / 1000;
    return new QueueFullError(
      `Cannot produce to ${topic}: the local queue stayed full for ${seconds} s (${this.inFlight} records wait for the broker). ` +
        'The record was not taken. Is the broker reachable? Else raise PRODUCER_QUEUE_MAX_RECORDS or PRODUCER_QUEUE_MAX_MB.',
      { topic, kafkaCode: kafkaCodes.queueFull },
    );
  }

  /** Resolves when reports came in, which is what frees the queue, or after a moment. */
  async #makeRoom(): Promise<void> {
    this.#sink.submit();
    this.#sink.poll();
    await Promise.race([this.#nextReports(), sleep(50)]);
  }

  #nextReports(): Promise<void> {
    return new Promise((resolve) => this.#onReports.push(resolve));
  }

  #report(ticket: number, code: number, partition: number, offset: number, timestamp: number): void {
    const outstanding = this.#ring.take(ticket);
    if (outstanding === undefined) return;
    const { index, sequence } = this.#ring;
    if (code === 0) this.#settle(outstanding, index, partition, offset, timestamp);
    else {
      const error = this.#deliveryError(sequence, outstanding.topic, code, partition);
      // librdkafka takes no record any more, whatever event said so before.
      if (error.fatal) this.#fatal ??= new FatalError(`Kafka producer: ${error.message}`, { kafkaCode: code, cause: error });
      this.#fail(outstanding, index, error);
    }
    if (this.#ring.size === 0) this.#sink.watch(false);
    if (this.#onReports.length > 0) {
      const waiting = this.#onReports;
      this.#onReports = [];
      for (const resolve of waiting) resolve();
    }
  }

  #deliveryError(sequence: number, topic: string, code: number, partition: number): DeliveryError {
    const error = errorOfCode(code);
    const where = partition >= 0 ? `${topic} [${partition}]` : topic;
    return new DeliveryError(`Not delivered to ${where}: ${error.message} (librdkafka ${code}).${hintOf(code)}`, sequence, {
      kafkaCode: code,
      retriable: isRetriableCode(code),
      fatal: isFatalCode(code),
      cause: error,
      topic,
      partition: partition >= 0 ? partition : undefined,
    });
  }

  #fail(outstanding: Outstanding, index: number, error: DeliveryError): void {
    if (!outstanding.owned) this.#failures.add(error);
    if (!outstanding.observed) this.#unobservedFailure ??= error;
    try {
      if (outstanding.fail(index, error)) this.#unreserve(outstanding);
    } catch (thrown) {
      this.#callbackThrew(outstanding, thrown);
    }
    this.emit('deliveryError', error);
  }

  #settle(outstanding: Outstanding, index: number, partition: number, offset: number, timestamp: number): void {
    try {
      if (outstanding.settle(index, partition, offset, timestamp)) this.#unreserve(outstanding);
    } catch (thrown) {
      this.#callbackThrew(outstanding, thrown);
    }
  }

  #unreserve({ reserved }: Outstanding): void {
    if (reserved > 0) this.#reserved.delete(reserved);
  }

  #callbackThrew(outstanding: Outstanding, thrown: unknown): void {
    this.#unreserve(outstanding);
    const message = `A delivery callback for ${outstanding.topic} threw: ${String(thrown)}`;
    this.emit('clientError', new StateError(message, { cause: thrown }));
  }

  #librdkafkaError(error: RawError): void {
    const typed = fromLibrdkafka('Kafka producer', error, (message, options) => new ConsumeError(message, options));
    if (typed instanceof FatalError) this.#fatal ??= typed;
    if (typed.code === 'ERR_AUTHENTICATION') this.#settings.tokens?.renew();
    this.emit('clientError', typed);
  }

  /** Throws the failure of a record nobody was told about: a loop that does not await deliveries learns of it here. */
  throwIfFailed(since = 0): void {
    if (this.#unobservedFailure !== undefined && this.#unobservedFailure.sequence > since) throw this.#unobservedFailure;
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
    await this.#drain(timeoutMs, signal);
    if (this.#outstanding > 0) {
      throw new TimeoutError(`${this.#outstanding} records are still without a delivery report after ${timeoutMs} ms`);
    }
    this.throwIfFailed();
  }

  /** Records without a report, those that wait to be queued included. */
  get #outstanding(): number {
    return Math.max(this.#ring.size, this.#reserved.size);
  }

  /** librdkafka's flush ends linger; the reports it leaves behind come a turn of the event loop later. */
  async #drain(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.#outstanding > 0 && performance.now() < deadline) {
      await orAborted(this.#sink.flush(Math.max(1, Math.min(100, deadline - performance.now()))), signal);
      if (this.#outstanding > 0) await immediate();
    }
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
    await this.#drain(timeoutMs, undefined);
    this.#reserved.clear();
    for (const { outstanding, index, sequence } of this.#ring.drain()) {
      const { topic } = outstanding;
      const message = `Not known to be delivered to ${topic}: the producer was closed before the broker answered.`;
      this.#fail(outstanding, index, new DeliveryError(message, sequence, { topic, retriable: true }));
    }
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

/** The first that was put in. */
function lowestOf(numbers: ReadonlySet<number>): number {
  return numbers.size === 0 ? Number.MAX_SAFE_INTEGER : numbers.values().next().value!;
}
