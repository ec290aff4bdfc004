import { createAvroProducer, createProducer, createSchemaRegistry, parseRuntimeVars } from 'rdkafka-toolkit';
import { type FieldCount, makeTrip, subjectOf, tripSchemas } from './avro/records.ts';
import type { Broker } from './broker.ts';
import { type InputKind, inputOf, type Mode } from './modes.ts';
import { RecordMaker } from './records.ts';
import { fitMock, type Shape, shapeName } from './shape.ts';

/** About what an Avro record takes, for the room that the mock cluster needs. */
const AVRO_BYTES: Readonly<Record<FieldCount, number>> = { 9: 145, 20: 280 };

/** The topics that runs of one shape and kind of input share. */
export interface Place {
  /** With the number and size of records that are really there. */
  readonly shape: Shape;
  readonly inputTopics: readonly string[];
  readonly outputTopics: readonly string[];
}

/** What is to be made on a broker. */
export interface TopicPlan {
  readonly modes: readonly Mode[];
  readonly shapes: readonly Shape[];
  /** Over how many topics records are spread. */
  readonly topics: number;
  /** Of the Avro records. */
  readonly fields: FieldCount;
  readonly registryUrl: string;
}

/** Makes and fills the topics of a bench, as they are asked for. */
export class Topics {
  readonly #broker: Broker;
  readonly #plan: TopicPlan;
  readonly #run = `bench-${process.pid}-${Date.now().toString(36)}`;
  readonly #places = new Map<string, Place>();
  #single = 0;

  constructor(broker: Broker, plan: TopicPlan) {
    this.#broker = broker;
    this.#plan = plan;
  }

  /** Makes all topics of the plan and fills those that are read. */
  async prepare(): Promise<void> {
    for (const mode of this.#plan.modes) for (const shape of this.#plan.shapes) await this.#prepare(inputOf(mode), shape);
  }

  /** The topics of a mode and shape. */
  of(mode: Mode, shape: Shape): Place {
    return this.#places.get(keyOf(inputOf(mode), shape))!;
  }

  /** An empty topic for a single run. */
  async single(partitions: number): Promise<string> {
    const name = `${this.#run}-single-${this.#single++}`;
    await this.#broker.createTopics([{ name, partitions }]);
    return name;
  }

  async #prepare(kind: InputKind, asked: Shape): Promise<void> {
    const key = keyOf(kind, asked);
    if (this.#places.has(key)) return;
    const { topics, fields } = this.#plan;
    const wanted = kind === 'avro' ? { ...asked, recordBytes: AVRO_BYTES[fields], headers: 0 } : asked;
    const shape = this.#broker.kind === 'mock' && kind !== 'none' ? fitMock(wanted, topics) : wanted;
    const names = (end: string, length: number): string[] => Array.from({ length }, (_, number) => `${this.#run}-${key}-${end}-${number}`);
    const inputTopics = kind === 'none' ? [] : names('in', topics);
    const outputTopics = names('out', topics);
    await this.#broker.createTopics([...inputTopics, ...outputTopics].map((name) => ({ name, partitions: shape.partitions })));
    if (kind === 'raw') await this.#fillRaw(inputTopics, shape);
    const recordBytes = kind === 'avro' ? await this.#fillAvro(inputTopics, shape) : shape.recordBytes;
    this.#places.set(key, { shape: { ...shape, recordBytes }, inputTopics, outputTopics });
  }

  /** Each partition's records in the order {@link RecordMaker} numbers them. */
  async #fillRaw(topics: readonly string[], shape: Shape): Promise<void> {
    await using producer = await createProducer({ vars: this.#vars(), config: fillSettings(shape) });
    const maker = new RecordMaker(topics, shape);
    for (let index = 0; index < shape.records; index++) {
      const record = maker.make(index);
      if (!producer.tryEnqueue(record)) await producer.enqueue(record);
    }
    await producer.flush({ timeoutMs: 120_000 });
  }

  /** Registers the schema, too; gives the average size of key and value. */
  async #fillAvro(topics: readonly string[], shape: Shape): Promise<number> {
    const vars = this.#vars();
    const registry = createSchemaRegistry({ vars });
    const { fields } = this.#plan;
    const valueSchema = tripSchemas[fields];
    await registry.register(subjectOf(fields), valueSchema.text);
    await using producer = await createAvroProducer({ vars, registry, valueSchema, config: fillSettings(shape) });
    const places = topics.length * shape.partitions;
    let bytes = 0;
    const sampled = Math.min(shape.records, 1_000);
    for (let id = 0; id < shape.records; id++) {
      const value = makeTrip(id, fields);
      if (id < sampled) bytes += 13 + valueSchema.type.toBuffer(value).length;
      const place = id % places;
      const topic = topics[Math.floor(place / shape.partitions)]!;
      await producer.enqueue({ topic, partition: place % shape.partitions, key: String(id).padStart(8, '0'), value });
    }
    await producer.flush({ timeoutMs: 120_000 });
    return Math.round(bytes / sampled);
  }

  #vars(): ReturnType<typeof parseRuntimeVars> {
    const { bootstrapServers } = this.#broker;
    return parseRuntimeVars({ ...process.env, KAFKA_BOOTSTRAP_SERVERS: bootstrapServers, SCHEMA_REGISTRY_URL: this.#plan.registryUrl });
  }
}

function keyOf(kind: InputKind, shape: Shape): string {
  return `${kind}-${shapeName(shape)}`;
}

/** The mock broker answers a fetch with one batch a partition: small batches would make the broker the limit. */
function fillSettings({ compression, recordBytes }: Shape): Record<string, string | number> {
  const batchRecords = Math.max(1, Math.min(2_000, Math.floor(900_000 / recordBytes)));
  return { 'linger.ms': 1000, 'batch.num.messages': batchRecords, 'compression.codec': compression };
}
