import { packHeaders } from '../binding/packed-headers.ts';
import type { EncodedHeaders, RecordSink } from '../binding/record-sink.ts';
import { EncodeError, RecordTooLargeError, StateError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { HeadersInput, Serializer } from '../serde.ts';
import { toRawHeaders } from './produce-headers.ts';

/** What librdkafka adds to key, value and headers when it compares a record with `message.max.bytes`: RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD. */
const RECORD_OVERHEAD_BYTES = 36;

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

/** How records become bytes, and how many they may be. */
export interface EncodeSettings<K, V> {
  readonly keySerializer: Serializer<K>;
  readonly valueSerializer: Serializer<V>;
  readonly sink: RecordSink['kind'];
  /** `message.max.bytes`, or the size of the whole local queue where that is less. */
  readonly recordMaxBytes: number;
}

/** The parts of a record as a sink takes them. */
export interface EncodedRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: EncodedHeaders;
}

/** What the serializers must fetch before a record can be encoded; undefined when nothing. */
export function prepareRecord<K, V>(
  { topic, key }: ProducerRecord<K, V>,
  { keySerializer, valueSerializer }: EncodeSettings<K, V>,
): Promise<void> | undefined {
  const value = valueSerializer.prepare?.({ topic, isKey: false });
  const forKey = key === undefined ? undefined : keySerializer.prepare?.({ topic, isKey: true });
  if (value === undefined || forKey === undefined) return value ?? forKey;
  return Promise.all([value, forKey]).then(() => undefined);
}

/**
 * Key, value and headers as bytes.
 *
 * @throws StateError | EncodeError | RecordTooLargeError when the record cannot be sent
 */
export function encodeRecord<K, V>(record: ProducerRecord<K, V>, settings: EncodeSettings<K, V>): EncodedRecord {
  const { topic, key, value, headers, partition, timestamp } = record;
  if (typeof topic !== 'string' || topic === '') throw new StateError(`Expected a topic to produce to, got ${JSON.stringify(topic)}`);
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0 && partition <= 0x7fffffff)) {
    throw new StateError(`Expected a partition of ${topic} from 0, got ${partition}`, { topic });
  }
  if (timestamp !== undefined && !(Number.isSafeInteger(timestamp) && timestamp >= 0)) {
    throw new StateError(`Expected the timestamp of a record for ${topic} to be milliseconds since the epoch, got ${timestamp}`, {
      topic,
    });
  }
  const { keySerializer, valueSerializer, sink, recordMaxBytes } = settings;
  const encodedKey = key === undefined ? null : serialize(keySerializer, key, topic, true);
  const encodedValue = serialize(valueSerializer, value, topic, false);
  const packed = sink === 'packed' ? packHeaders(headers, topic) : undefined;
  const bytes = (encodedKey?.length ?? 0) + (encodedValue?.length ?? 0);
  // Headers are counted exactly only where they could matter: on the wire they take 10 bytes each beside name and value, here 8.
  if (bytes + 1.25 * (packed?.length ?? 0) + RECORD_OVERHEAD_BYTES > recordMaxBytes) {
    const exact = bytes + (packed?.wireBytes ?? 0);
    if (exact + RECORD_OVERHEAD_BYTES > recordMaxBytes) throw tooLarge(topic, exact);
  }
  return { key: encodedKey, value: encodedValue, headers: sink === 'packed' ? packed : toRawHeaders(headers, topic) };
}

function tooLarge(topic: string, bytes: number): RecordTooLargeError {
  return new RecordTooLargeError(
    `A record of ${bytes} bytes for ${topic} is too large. Raise MESSAGE_BATCH_MAX_MB (message.max.bytes), max.message.bytes of the topic, and PRODUCER_QUEUE_MAX_MB where that is less.`,
    { topic, kafkaCode: kafkaCodes.messageSizeTooLarge },
  );
}

function serialize<T>(serializer: Serializer<T>, value: T, topic: string, isKey: boolean): Buffer | null {
  try {
    return serializer.serialize(value, { topic, isKey });
  } catch (error) {
    const part = isKey ? 'key' : 'value';
    const reason = error instanceof Error ? error.message : String(error);
    throw new EncodeError(`Cannot encode the ${part} of a record for ${topic}: ${reason}`, {
      cause: error,
      topic,
      path: error instanceof EncodeError ? error.path : undefined,
      part,
    });
  }
}
