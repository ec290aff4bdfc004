import { orAborted } from '../abort.ts';
import type { Delivery, RecordMetadata } from '../client/delivery.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import { type DeliveryError, isToolkitError, QueueFullError } from '../errors.ts';
import type { MetricsRecorder } from '../hooks.ts';
import { UnacknowledgedError } from './problem.ts';

/** Limits of a {@link RecordGate}. */
export interface RecordGateLimits {
  /** From the request to the broker's acknowledgement, in milliseconds. */
  readonly timeoutMs: number;
  /** Requests that may wait for room in the producer's queue. */
  readonly maxWaiting: number;
}

/**
 * Sends records of requests, each with a deadline. A record beyond its deadline closes the gate: new ones are refused at once, but for one at
 * a time, until one is acknowledged. So an outage costs no request its whole deadline, and a partition without a leader does not stop
 * the others. What is held for requests is bounded by the producer's queue.
 */
export class RecordGate<K, V> {
  readonly #producer: Producer<K, V>;
  readonly #metrics: MetricsRecorder | undefined;
  #waiting = 0;
  #open = true;
  #probing = false;

  constructor(producer: Producer<K, V>, metrics: MetricsRecorder | undefined) {
    this.#producer = producer;
    this.#metrics = metrics;
  }

  /** False from a record that is beyond its deadline until one is acknowledged. */
  get open(): boolean {
    return this.#open;
  }

  /**
   * Resolves when the broker has acknowledged the record, which is counted as produced then.
   *
   * @throws EncodeError when key or value do not fit
   * @throws QueueFullError when too many wait for room in the queue
   * @throws UnacknowledgedError when the deadline was over first, or others are beyond theirs; `delivery` tells whether the record may come
   * to its topic yet
   * @throws DeliveryError | FatalError | ClosedError as `Producer.send`
   */
  async send(record: ProducerRecord<K, V>, { timeoutMs, maxWaiting }: RecordGateLimits): Promise<RecordMetadata> {
    const { topic } = record;
    if (!this.#open && this.#probing)
      throw new UnacknowledgedError(`No broker acknowledges records for ${topic} at present`, 'none', topic);
    if (this.#waiting >= maxWaiting) throw new QueueFullError(`${maxWaiting} requests wait to produce already`, { topic });
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    const request: Request = { overdue: false };
    const probes = !this.#open;
    this.#probing ||= probes;
    try {
      const delivery = await this.#take(record, request, late.signal, timeoutMs);
      return await this.#acknowledged(delivery, request, late.signal, timeoutMs);
    } finally {
      if (probes) this.#probing = false;
      clearTimeout(timer);
    }
  }

  async #take(record: ProducerRecord<K, V>, request: Request, signal: AbortSignal, timeoutMs: number): Promise<Delivery> {
    const { topic } = record;
    this.#waiting++;
    try {
      return await this.#producer.enqueue(record, (error) => this.#reported(error, request), { signal });
    } catch (error) {
      if (!signal.aborted || isToolkitError(error)) throw error;
      throw new UnacknowledgedError(`A record for ${topic} was not taken within ${timeoutMs} ms`, 'none', topic);
    } finally {
      this.#waiting--;
    }
  }

  async #acknowledged(delivery: Delivery, request: Request, signal: AbortSignal, timeoutMs: number): Promise<RecordMetadata> {
    const { delivered, topic } = delivery;
    try {
      return await orAborted(delivered, signal);
    } catch {
      // The report and the deadline may come at once: the report counts.
      if (delivery.settled) return await delivered;
      request.overdue = true;
      this.#open = false;
      throw new UnacknowledgedError(`No broker acknowledged a record for ${topic} within ${timeoutMs} ms`, 'unknown', topic);
    }
  }

  #reported(error: DeliveryError | undefined, { overdue }: Request): void {
    if (error === undefined) {
      this.#open = true;
      this.#metrics?.incMessagesProduced(1);
      return;
    }
    // The client is told, or was told that it may not come: nothing that was consumed waits for it.
    this.#producer.forgive(error);
    if (overdue) this.#metrics?.incMessageErrors(error);
  }
}

/** A request that waits for its record, or does not any more. */
interface Request {
  overdue: boolean;
}
