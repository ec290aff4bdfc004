import { viewOf } from '../binding/record-batch.ts';
import type { ProducerRecord } from '../client/producer.ts';
import {
  type Deserializer,
  jsonDeserializer,
  jsonSerializer,
  type RecordContext,
  rawDeserializer,
  rawSerializer,
  type SerializeContext,
  type Serializer,
  stringDeserializer,
} from '../serde.ts';

/** How keys and values of a topic become objects, and back. */
export interface TopicOptions<K, V> {
  /** @default text */
  readonly keyDeserializer?: Deserializer<K> | undefined;
  /** @default JSON */
  readonly valueDeserializer?: Deserializer<V> | undefined;
  /** @default text or bytes as they are */
  readonly keySerializer?: Serializer<K> | undefined;
  /** @default JSON */
  readonly valueSerializer?: Serializer<V> | undefined;
}

/** A topic as a stream app knows it: what it holds. Made by `app.topic`. */
export class StreamTopic<K, V> {
  readonly name: string;
  readonly keyDeserializer: Deserializer<K>;
  readonly valueDeserializer: Deserializer<V>;
  readonly keySerializer: Serializer<K>;
  readonly valueSerializer: Serializer<V>;

  constructor(name: string, options: TopicOptions<K, V> = {}) {
    this.name = name;
    this.keyDeserializer = options.keyDeserializer ?? (stringDeserializer as Deserializer<unknown> as Deserializer<K>);
    this.valueDeserializer = options.valueDeserializer ?? (jsonDeserializer() as Deserializer<unknown> as Deserializer<V>);
    this.keySerializer = options.keySerializer ?? (rawSerializer as Serializer<never> as Serializer<K>);
    this.valueSerializer = options.valueSerializer ?? (jsonSerializer() as Serializer<never> as Serializer<V>);
  }

  /** A record to be returned or yielded by an agent. */
  record(key: K, value: V, more: Omit<ProducerRecord<K, V>, 'topic' | 'key' | 'value'> = {}): ProducerRecord<K, V> {
    return { ...more, topic: this.name, key, value };
  }
}

/** A topic that nothing is known of: bytes. */
const unknownTopic: TopicOptions<unknown, unknown> = {
  keyDeserializer: rawDeserializer,
  valueDeserializer: rawDeserializer,
  keySerializer: rawSerializer as Serializer<never> as Serializer<unknown>,
  valueSerializer: rawSerializer as Serializer<never> as Serializer<unknown>,
};

/** One consumer and one producer serve all topics of an app: their serializers go by the topic. */
export class TopicCodecs {
  readonly #topics = new Map<string, StreamTopic<unknown, unknown>>();
  readonly #unknown = new StreamTopic<unknown, unknown>('', unknownTopic);
  readonly keySerializer: Serializer<unknown>;
  readonly valueSerializer: Serializer<unknown>;

  constructor() {
    this.keySerializer = {
      serialize: (value, context) => this.of(context.topic).keySerializer.serialize(value, context),
      prepare: (context) => this.of(context.topic).keySerializer.prepare?.(context),
    };
    this.valueSerializer = {
      serialize: (value, context) => this.of(context.topic).valueSerializer.serialize(value, context),
      prepare: (context: SerializeContext) => this.of(context.topic).valueSerializer.prepare?.(context),
    };
  }

  add(topic: StreamTopic<never, never>): void {
    this.#topics.set(topic.name, topic as StreamTopic<unknown, unknown>);
  }

  find(name: string): StreamTopic<unknown, unknown> | undefined {
    return this.#topics.get(name);
  }

  of(name: string): StreamTopic<unknown, unknown> {
    return this.#topics.get(name) ?? this.#unknown;
  }

  get keyDeserializer(): Deserializer<unknown> {
    return this.#deserializer(({ keyDeserializer }) => keyDeserializer);
  }

  get valueDeserializer(): Deserializer<unknown> {
    return this.#deserializer(({ valueDeserializer }) => valueDeserializer);
  }

  #deserializer(pick: (topic: StreamTopic<unknown, unknown>) => Deserializer<unknown>): Deserializer<unknown> {
    let lastTopic: string | undefined;
    let last: Deserializer<unknown> | undefined;
    const of = ({ topic }: RecordContext): Deserializer<unknown> => {
      // Records come in runs of one topic.
      if (topic === lastTopic) return last!;
      lastTopic = topic;
      last = pick(this.of(topic));
      return last;
    };
    // Told apart by what they find in the bytes: those that need nothing for them say so.
    const preparing = [...new Set([...this.#topics.values()].map(pick))].filter(({ prepareAt }) => prepareAt !== undefined);
    const prepareAt = (bytes: Buffer, start: number, end: number): Promise<void> | undefined => {
      for (const deserializer of preparing) {
        const pending = deserializer.prepareAt!(bytes, start, end);
        if (pending !== undefined) return pending;
      }
      return undefined;
    };
    return {
      deserialize: (data, context) => of(context).deserialize(data, context),
      deserializeAt(bytes, start, end, context) {
        const own = of(context);
        return own.deserializeAt === undefined
          ? own.deserialize(viewOf(bytes, start, end), context)
          : own.deserializeAt(bytes, start, end, context);
      },
      ...(preparing.length === 0 ? {} : { prepareAt }),
    };
  }
}
