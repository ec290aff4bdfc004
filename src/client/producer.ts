import { EventEmitter } from 'node:events';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { errorOfCode, fromLibrdkafka, kafkaCodeOf, type RawError } from '../binding/node-rdkafka.ts';
import { ProducerHandle } from '../binding/producer-handle.ts';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import {
  ClosedError,
  ConsumeError,
  DeliveryError,
  EncodeError,
  FatalError,
  QueueFullError,
  RecordTooLargeError,
  StateError,
  TimeoutError,
  type ToolkitError,
} from '../errors.ts';
import { isFatalCode, isRetriableCode, kafkaCodes } from '../kafka-codes.ts';
import type { HeadersInput, Serializer } from '../serde.ts';
import { Delivery, type DeliveryCallback, DeliveryRing, nextSequence, type RecordMetadata } from './delivery.ts';
import type { ProducerEvents, Statistics } from './events.ts';
import { toRawHeaders } from './produce-headers.ts';

/** While reports are outstanding they are looked for this often. */
const POLL_INTERVAL_MS = 2;

/** Reports are also served every so many records, so that a loop that never rests does not fill the queue. */
const POLL_EVERY_RECORDS = 200;

/** A producer's settings, all resolved. */
export interface ProducerSettings<K, V> {
  readonly config: RoutedConfig;
  readonly bootstrapServers: string;
  readonly keySerializer: Serializer<K>;
  readonly valueSerializer: Serializer<V>;
  readonly connectTimeoutMs: number;
  readonly queueFullTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
}

interface Encoded {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly object[] | undefined;
}

/** A record to produce. */
export interface ProducerRecord<K = Uint8Array | string | null, V = Uint8Array | string | null> {
  readonly topic: string;
  readonly value: V;
  readonly key?: K | undefined;
  /** Chosen by the partitioner (`PRODUCER_PARTITIONER`) when left out. */
  readonly partition?: number | undefined;
  readonly headers?: HeadersInput | undefined;
  /** Milliseconds since the epoch. @default now */
  readonly timestamp?: number | undefined;
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
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closed: Promise<void> | undefined;
  #pollTimer: NodeJS.Timeout | undefined;
  #sincePoll = 0;
  #room: Promise<void> | undefined;
  /** Numbers of records that had to wait before they were queued, until their reports are in. */
  readonly #reserved = new Set<number>();
  /** The failed records with the lowest and the highest number. */
  #firstFailure: DeliveryError | undefined;
  #lastFailure: DeliveryError | undefined;
  #unobservedFailure: DeliveryError | undefined;
  #fatal: FatalError | undefined;
  #onReports: (() => void)[] = [];

  constructor(settings: ProducerSettings<K, V>) {
    super();
    this.#settings = settings;
    this.#handle = new ProducerHandle(settings.config, {
      onDelivery: (ticket, error, partition, offset, timestamp) => this.#report(ticket, error, partition, offset, timestamp),
      onError: (error) => this.#librdkafkaError(error),
      onStatistics: (json) => {
        if (this.listenerCount('statistics') > 0) this.emit('statistics', JSON.parse(json) as Statistics);
      },
      onLog: ({ severity, fac, message }) => this.emit('log', { severity, facility: fac, message }),
    });
  }

  get closed(): boolean {
    return this.#state !== 'open';
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
    const reserved = this.#reserved.size === 0 ? undefined : this.#reserved.values().next().value;
    const oldest = Math.min(this.#ring.oldest ?? Number.MAX_SAFE_INTEGER, reserved ?? Number.MAX_SAFE_INTEGER);
    const failed = this.#firstFailure === undefined ? undefined : this.failure(since);
    // Of many failures two are remembered: when the first is too old to matter, nothing since then counts as acknowledged.
    const held = failed === undefined ? oldest : failed === this.#firstFailure ? failed.sequence : since + 1;
    const lowest = Math.min(oldest, held);
    return lowest === Number.MAX_SAFE_INTEGER ? lowest : lowest - 1;
  }

  /** A record after number `since` that failed, if any: offsets behind it are held back for good. */
  failure(since = 0): DeliveryError | undefined {
    return [this.#firstFailure, this.#lastFailure].find((error) => error !== undefined && error.sequence > since);
  }

  /** @internal Called once, by `createProducer`. */
  async connect(signal: AbortSignal | undefined): Promise<void> {
    const { bootstrapServers, connectTimeoutMs } = this.#settings;
    try {
      await this.#handle.connect(bootstrapServers, connectTimeoutMs, signal);
    } catch (error) {
      this.#state = 'closed';
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
    const pending = this.#prepare(record);
    if (pending === undefined && this.#room === undefined) {
      const delivery = this.#tryProduce(record, this.#encode(record), onDelivery, 0);
      if (delivery !== undefined) return delivery;
    }
    // It takes a while from here. The record gets its number now, so that an offset noted meanwhile waits for it.
    const reserved = nextSequence();
    this.#reserved.add(reserved);
    try {
      if (pending !== undefined) await orAborted(pending, signal);
      return await this.#enqueueWhenRoom(record, onDelivery, signal, reserved);
    } catch (error) {
      this.#reserved.delete(reserved);
      throw error;
    }
  }

  async #enqueueWhenRoom(
    record: ProducerRecord<K, V>,
    onDelivery: DeliveryCallback | undefined,
    signal: AbortSignal | undefined,
    reserved: number,
  ): Promise<Delivery> {
    const encoded = this.#encode(record);
    const deadline = performance.now() + this.#settings.queueFullTimeoutMs;
    for (;;) {
      // Others that wait for room go first: order is kept.
      while (this.#room !== undefined) {
        await orAborted(this.#room, signal);
        if (performance.now() >= deadline) throw this.#queueFull(record.topic);
      }
      const delivery = this.#tryProduce(record, encoded, onDelivery, reserved);
      if (delivery !== undefined) return delivery;
      if (performance.now() >= deadline) throw this.#queueFull(record.topic);
      this.#room = this.#makeRoom();
    }
  }

  /** What the serializers must fetch first; undefined when nothing. */
  #prepare({ topic, key }: ProducerRecord<K, V>): Promise<void> | undefined {
    const { keySerializer, valueSerializer } = this.#settings;
    const value = valueSerializer.prepare?.({ topic, isKey: false });
    const forKey = key === undefined ? undefined : keySerializer.prepare?.({ topic, isKey: true });
    if (value === undefined || forKey === undefined) return value ?? forKey;
    return Promise.all([value, forKey]).then(() => undefined);
  }

  #encode({ topic, key, value, headers }: ProducerRecord<K, V>): Encoded {
    const { keySerializer, valueSerializer } = this.#settings;
    return {
      key: key === undefined ? null : serialize(keySerializer, key, { topic, isKey: true }),
      value: serialize(valueSerializer, value, { topic, isKey: false }),
      headers: toRawHeaders(headers, topic),
    };
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

  /** Undefined when the queue is full. */
  #tryProduce(
    record: ProducerRecord<K, V>,
    { key, value, headers }: Encoded,
    onDelivery: DeliveryCallback | undefined,
    reserved: number,
  ): Delivery | undefined {
    this.#assertOpen();
    const { topic, partition, timestamp } = record;
    if (typeof topic !== 'string' || topic === '') throw new StateError(`Expected a topic to produce to, got ${JSON.stringify(topic)}`);
    const code = this.#handle.produce(topic, partition ?? null, key, value, timestamp, headers, this.#ring.nextTicket);
    if (code === kafkaCodes.queueFull) return undefined;
    if (code !== 0) throw this.#produceError(code, topic, (key?.length ?? 0) + (value?.length ?? 0));
    const delivery = new Delivery(nextSequence(), topic, onDelivery, reserved);
    this.#ring.push(delivery);
    if (++this.#sincePoll >= POLL_EVERY_RECORDS) this.#poll();
    this.#pollTimer ??= setInterval(() => this.#poll(), POLL_INTERVAL_MS);
    return delivery;
  }

  #produceError(code: number, topic: string, bytes: number): ToolkitError {
    const error = errorOfCode(code);
    if (code === kafkaCodes.messageSizeTooLarge) {
      return new RecordTooLargeError(
        `A record of ${bytes} bytes for ${topic} is too large. Raise MESSAGE_BATCH_MAX_MB (message.max.bytes), and max.message.bytes of the topic.`,
        { topic, kafkaCode: code },
      );
    }
    return fromLibrdkafka(`Cannot produce to ${topic}`, error, (message, options) => new DeliveryError(message, 0, options), { topic });
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
    this.#poll();
    await Promise.race([this.#nextReports(), sleep(50)]);
    this.#room = undefined;
  }

  #nextReports(): Promise<void> {
    return new Promise((resolve) => this.#onReports.push(resolve));
  }

  #poll(): void {
    this.#sincePoll = 0;
    this.#handle.poll();
    if (this.#ring.size === 0) {
      clearInterval(this.#pollTimer);
      this.#pollTimer = undefined;
    }
  }

  #report(ticket: number, error: RawError | null, partition: number, offset: number, timestamp: number): void {
    const delivery = this.#ring.take(ticket);
    if (delivery === undefined) return;
    if (delivery.reserved > 0) this.#reserved.delete(delivery.reserved);
    if (error === null) this.#settle(delivery, { topic: delivery.topic, partition, offset, timestamp });
    else this.#fail(delivery, this.#deliveryError(delivery, error, partition));
    if (this.#onReports.length > 0) {
      const waiting = this.#onReports;
      this.#onReports = [];
      for (const resolve of waiting) resolve();
    }
  }

  #deliveryError({ sequence, topic }: Delivery, error: RawError, partition: number): DeliveryError {
    const code = kafkaCodeOf(error);
    const where = partition >= 0 ? `${topic} [${partition}]` : topic;
    const hint =
      code === kafkaCodes.unknownTopic || code === kafkaCodes.unknownTopicOrPartition || code === kafkaCodes.unknownPartition
        ? ' Create the topic or check its name.'
        : code === kafkaCodes.messageTimedOut
          ? ' No broker acknowledged it within PRODUCER_DELIVERY_TIMEOUT_SECONDS.'
          : code === kafkaCodes.messageSizeTooLarge
            ? ' The broker or the topic (max.message.bytes) takes no record of this size.'
            : '';
    return new DeliveryError(`Not delivered to ${where}: ${error.message} (librdkafka ${code}).${hint}`, sequence, {
      kafkaCode: code,
      retriable: isRetriableCode(code),
      fatal: isFatalCode(code),
      cause: error,
      topic,
      partition: partition >= 0 ? partition : undefined,
    });
  }

  #fail(delivery: Delivery, error: DeliveryError): void {
    if (error.sequence < (this.#firstFailure?.sequence ?? Number.POSITIVE_INFINITY)) this.#firstFailure = error;
    if (error.sequence > (this.#lastFailure?.sequence ?? 0)) this.#lastFailure = error;
    if (!delivery.observed) this.#unobservedFailure ??= error;
    this.#settle(delivery, error);
    this.emit('deliveryError', error);
  }

  #settle(delivery: Delivery, result: RecordMetadata | DeliveryError): void {
    try {
      delivery.settle(result);
    } catch (error) {
      this.emit('clientError', new StateError(`A delivery callback for ${delivery.topic} threw: ${String(error)}`, { cause: error }));
    }
  }

  #librdkafkaError(error: RawError): void {
    const typed = fromLibrdkafka('Kafka producer', error, (message, options) => new ConsumeError(message, options));
    if (typed instanceof FatalError) this.#fatal ??= typed;
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
      await orAborted(this.#handle.flush(Math.max(1, Math.min(100, deadline - performance.now()))), signal);
      this.#handle.poll();
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
    clearInterval(this.#pollTimer);
    this.#pollTimer = undefined;
    this.#reserved.clear();
    for (const delivery of this.#ring.drain()) {
      const { sequence, topic } = delivery;
      const message = `Not known to be delivered to ${topic}: the producer was closed before the broker answered.`;
      this.#fail(delivery, new DeliveryError(message, sequence, { topic, retriable: true }));
    }
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

function serialize<T>(serializer: Serializer<T>, value: T, context: { topic: string; isKey: boolean }): Buffer | null {
  try {
    return serializer.serialize(value, context);
  } catch (error) {
    const part = context.isKey ? 'key' : 'value';
    const reason = error instanceof Error ? error.message : String(error);
    throw new EncodeError(`Cannot encode the ${part} of a record for ${context.topic}: ${reason}`, {
      cause: error,
      topic: context.topic,
      path: error instanceof EncodeError ? error.path : undefined,
    });
  }
}
