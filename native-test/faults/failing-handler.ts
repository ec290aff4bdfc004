import { type ConsumerRecord, type Deserializer, type FailureOptions, type Producer, rawDeserializer, recordOrigin } from 'rdkafka-toolkit';
import type { Failing } from './member-task.ts';
import { numberOf } from './records.ts';

/** How long a record rests in the retry topic. */
export const DELAY_MS = 1_000;

/** A handler that hangs is given up after so long. */
export const HANDLER_TIMEOUT_MS = 200;

/** Of ten numbers within a key, what goes wrong with each. */
const ONCE = 1;
const ALWAYS = 3;
const HANGING = 5;
const TEXT = 7;
const POISON = 9;

/** Inputs that end as dead letters. */
export function endsAsDeadLetter(failing: Failing, number: number): boolean {
  const rest = number % 10;
  if (failing === 'failing') return rest === ALWAYS || rest === TEXT;
  if (failing === 'poison') return rest === POISON;
  return failing === 'letters' && rest === ALWAYS;
}

/** Inputs that go to the retry topic. */
export function isDelayed(number: number): boolean {
  return number % 3 === 0;
}

/** What the failing members' runner is told. */
export function failuresOf(failing: Failing | undefined, retryTopic: string, deadLetterTopic: string): FailureOptions {
  if (failing === 'delayed') return { retryTopics: [{ topic: retryTopic, delayMs: DELAY_MS }] };
  if (failing !== 'failing' && failing !== 'poison') return {};
  return { attempts: 2, backoff: { initialMs: 1, maxMs: 5 }, deadLetterTopics: [deadLetterTopic] };
}

/** Bytes as they are, but for those that are poison. */
export const poisonDeserializer: Deserializer<Buffer | null> = {
  deserialize(data, context) {
    if (numberOf(data) % 10 === POISON) throw new RangeError('poison');
    return rawDeserializer.deserialize(data, context);
  },
};

/** Fails as the record's number says. */
export class FailingHandler {
  readonly #failing: Failing | undefined;
  readonly #deadLetterTopic: string;
  readonly #producer: Producer;
  /** Records that failed once in this process, by key and number. */
  readonly #failedOnce = new Set<string>();

  constructor(failing: Failing | undefined, deadLetterTopic: string, producer: Producer) {
    this.#failing = failing;
    this.#deadLetterTopic = deadLetterTopic;
    this.#producer = producer;
  }

  /** True when the record is dealt with, and has no output. @throws as the record is to fail */
  async fail(record: ConsumerRecord): Promise<boolean> {
    const number = numberOf(record.value);
    if (this.#failing === 'delayed') {
      if (isDelayed(number) && recordOrigin(record) === undefined) throw new RangeError('later');
    } else if (this.#failing === 'failing') await this.#failAsTold(`${record.key}/${number}`, number % 10);
    else if (this.#failing === 'letters' && endsAsDeadLetter('letters', number)) {
      // As a handler does that puts its failures aside by itself, and is done.
      const { topic, partition, offset, key, value } = record;
      const headers = {
        kafka_retry_count: '0',
        kafka_original_topic: topic,
        kafka_original_partition: String(partition),
        kafka_original_offset: String(offset),
      };
      await this.#producer.enqueue({ topic: this.#deadLetterTopic, key, value, headers });
      return true;
    }
    return false;
  }

  async #failAsTold(name: string, rest: number): Promise<void> {
    if (rest === ALWAYS) throw new RangeError('always');
    if (rest === TEXT) throw 'just text';
    if ((rest !== ONCE && rest !== HANGING) || this.#failedOnce.has(name)) return;
    this.#failedOnce.add(name);
    if (rest === ONCE) throw new RangeError('once');
    // One in many hangs: each costs the deadline and a second's grace.
    if (this.#failedOnce.size % 200 === 1) await new Promise(() => undefined);
  }
}
