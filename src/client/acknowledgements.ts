import { errorOfCode } from '../binding/node-rdkafka.ts';
import { DeliveryError, StateError, type ToolkitError } from '../errors.ts';
import { hintOf, isFatalCode, isRetriableCode } from '../kafka-codes.ts';
import { BatchDeliveryError, type DeliveryRing, nextSequence, type Outstanding } from './delivery.ts';
import { DeliveryFailures } from './delivery-failures.ts';

/** The offset of a record about which no broker has answered: librdkafka's `RD_KAFKA_OFFSET_INVALID`. */
const NO_ANSWER = -1001;

/** Who is told what became of records, beside those who produced them. */
export interface DeliveryListener {
  /** A record failed after which librdkafka takes no other; {@link onFailed} follows. */
  onFatal(error: DeliveryError): void;
  onFailed(error: DeliveryError): void;
  onCallbackThrew(error: StateError): void;
}

/** Which records of a producer are acknowledged, and what became of those that failed: what consumers' offsets wait for. */
export class Acknowledgements {
  readonly #ring: DeliveryRing;
  readonly #idempotent: boolean;
  readonly #listener: DeliveryListener;
  /** Numbers of records that had to wait before they were queued, until their reports are in. */
  readonly #reserved = new Set<number>();
  /** Numbers of what is not produced yet and will be, until it is acknowledged. */
  readonly #held = new Set<number>();
  readonly #failures = new DeliveryFailures();
  #unobservedFailure: DeliveryError | undefined;

  /** @param ring The records that are queued, until their reports are in. */
  constructor(ring: DeliveryRing, idempotent: boolean, listener: DeliveryListener) {
    this.#ring = ring;
    this.#idempotent = idempotent;
    this.#listener = listener;
  }

  /** Records without a report, those that wait to be queued included. */
  get outstanding(): number {
    return Math.max(this.#ring.size, this.#reserved.size);
  }

  /** Every record numbered above `since` and up to the result is acknowledged; see `Producer.acknowledgedSequence`. */
  sequence(since: number): number {
    // Numbers are reserved in ascending order, so the first is the lowest.
    const oldest = Math.min(this.#ring.oldest ?? Number.MAX_SAFE_INTEGER, lowestOf(this.#reserved), lowestOf(this.#held, since));
    const lowest = Math.min(oldest, this.#failures.heldFrom(since));
    return lowest === Number.MAX_SAFE_INTEGER ? lowest : lowest - 1;
  }

  /** A number for what is to be queued later, so that an offset noted meanwhile waits for it. */
  reserve(): number {
    const reserved = nextSequence();
    this.#reserved.add(reserved);
    return reserved;
  }

  /** Nothing of it is queued, or all of it has its report. */
  unreserve(reserved: number): void {
    this.#reserved.delete(reserved);
  }

  /** Offsets that are noted from now on wait until what this gives back is called. */
  hold(): () => void {
    const number = nextSequence();
    this.#held.add(number);
    return () => void this.#held.delete(number);
  }

  /**
   * librdkafka reports it as delivered.
   *
   * An idempotent producer also does so for a record of which it does not know, once a later one of the partition is written. A leader that has
   * nothing of the producer yet takes that later one whatever its number is, so the record may be lost: it counts as failed.
   */
  settle(outstanding: Outstanding, index: number, sequence: number, partition: number, offset: number, timestamp: number): void {
    if (offset === NO_ANSWER && this.#idempotent) {
      this.#fail(outstanding, index, unansweredError(sequence, outstanding.topic, partition));
      return;
    }
    try {
      if (outstanding.settle(index, partition, offset, timestamp)) this.#unreserve(outstanding);
    } catch (thrown) {
      this.#callbackThrew(outstanding, thrown);
    }
  }

  /** librdkafka did not deliver it, for the reason that has this number. */
  reject(outstanding: Outstanding, index: number, sequence: number, code: number, partition: number): void {
    const error = deliveryError(sequence, outstanding.topic, code, partition);
    if (error.fatal) this.#listener.onFatal(error);
    this.#fail(outstanding, index, error);
  }

  /** It did not even get into the queue. */
  refuse(outstanding: Outstanding, index: number, topic: string, { message, retriable, kafkaCode }: ToolkitError): void {
    this.#fail(outstanding, index, new DeliveryError(message, nextSequence(), { retriable, kafkaCode, topic }));
  }

  /** The producer ends: what has no report will get none. */
  abandon(): void {
    this.#reserved.clear();
    for (const { outstanding, index, sequence } of this.#ring.drain()) {
      const { topic } = outstanding;
      const message = `Not known to be delivered to ${topic}: the producer was closed before the broker answered.`;
      this.#fail(outstanding, index, new DeliveryError(message, sequence, { topic, retriable: true }));
    }
  }

  #fail(outstanding: Outstanding, index: number, error: DeliveryError): void {
    const { observed, reserved } = outstanding;
    // While it waited to be queued it had a lower number, and offsets noted meanwhile wait for that one.
    if (!outstanding.owned) this.#failures.add(error, { from: reserved > 0 ? reserved : error.sequence, observed });
    if (!observed) this.#unobservedFailure ??= error;
    try {
      if (outstanding.fail(index, error)) this.#unreserve(outstanding);
    } catch (thrown) {
      this.#callbackThrew(outstanding, thrown);
    }
    try {
      this.#listener.onFailed(error);
    } catch (thrown) {
      // The reports behind this one must come through.
      this.#listener.onCallbackThrew(new StateError(`A listener of deliveryError threw: ${String(thrown)}`, { cause: thrown }));
    }
  }

  #unreserve({ reserved }: Outstanding): void {
    if (reserved > 0) this.#reserved.delete(reserved);
  }

  #callbackThrew(outstanding: Outstanding, thrown: unknown): void {
    this.#unreserve(outstanding);
    const message = `A delivery callback for ${outstanding.topic} threw: ${String(thrown)}`;
    this.#listener.onCallbackThrew(new StateError(message, { cause: thrown }));
  }

  /** A record after number `since` that failed, if any. */
  failure(since: number): DeliveryError | undefined {
    return this.#failures.after(since);
  }

  /** Throws the failure of a record nobody was told about, as an error of its own: whoever catches it has not dealt with that record. */
  throwIfFailed(since: number): void {
    const failure = this.#unobservedFailure;
    if (failure === undefined || failure.sequence <= since) return;
    const { fatal, kafkaCode, message, partition, retriable, sequence, topic } = failure;
    throw new DeliveryError(message, sequence, { cause: failure, fatal, kafkaCode, partition, retriable, topic });
  }

  /** Whoever was told of these very failures has dealt with them: they hold no offset back any more. */
  forgive(error: DeliveryError): void {
    const each = error instanceof BatchDeliveryError ? error.failures.map((failure) => failure.error) : [error];
    for (const failure of each) this.#failures.forget(failure);
  }

  /** Whoever produced the records numbered above `since` and up to `until` has dealt with those failures of which it was told, or will be. */
  pardon(since: number, until: number): void {
    this.#failures.pardon(since, until);
  }

  /** Nobody need be told of the failures up to now. */
  forgetFailures(): void {
    this.#failures.clear();
    this.#unobservedFailure = undefined;
  }
}

function unansweredError(sequence: number, topic: string, partition: number): DeliveryError {
  const message =
    `Not known to be delivered to ${placeOf(topic, partition)}: no broker has answered for it; ` +
    'librdkafka takes it for written because a later record of the partition is. It happens when the leader of a partition changes.';
  return new DeliveryError(message, sequence, { retriable: true, topic, partition });
}

function deliveryError(sequence: number, topic: string, code: number, partition: number): DeliveryError {
  const error = errorOfCode(code);
  return new DeliveryError(
    `Not delivered to ${placeOf(topic, partition)}: ${error.message} (librdkafka ${code}).${hintOf(code)}`,
    sequence,
    {
      kafkaCode: code,
      retriable: isRetriableCode(code),
      fatal: isFatalCode(code),
      cause: error,
      topic,
      partition: partition >= 0 ? partition : undefined,
    },
  );
}

function placeOf(topic: string, partition: number): string {
  return partition >= 0 ? `${topic} [${partition}]` : topic;
}

/** The first above `since` that was put in; they are put in in ascending order. */
function lowestOf(numbers: ReadonlySet<number>, since = 0): number {
  for (const number of numbers) if (number > since) return number;
  return Number.MAX_SAFE_INTEGER;
}
