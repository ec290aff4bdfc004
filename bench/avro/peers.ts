import avro from 'avsc';
import { type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import type { RuntimeVars } from 'rdkafka-toolkit';
import type { AvroJob } from './job.ts';
import { type Trip, tripSchemas } from './records.ts';

/** avsc as its documentation says, and Confluent's wire format around it. */
export class PlainAvro {
  readonly type: avro.Type;
  #id = 0;

  constructor({ fields }: AvroJob) {
    this.type = avro.Type.forSchema(JSON.parse(tripSchemas[fields].text) as avro.Schema);
  }

  decode(value: Buffer): Trip {
    this.#id = value.readUInt32BE(1);
    return this.type.fromBuffer(value.subarray(5)) as Trip;
  }

  encode(trip: Trip): Buffer {
    const body = this.type.toBuffer(trip);
    const value = Buffer.allocUnsafe(5 + body.length);
    value[0] = 0;
    value.writeUInt32BE(this.#id, 1);
    body.copy(value, 5);
    return value;
  }
}

/** KafkaJS's clients, fetching as much as the others. */
export function kafkaJsClients(job: AvroJob, vars: RuntimeVars): { readonly consumer: Consumer; readonly producer: Producer } {
  const kafka = new Kafka({ clientId: job.groupId, brokers: job.bootstrapServers.split(','), logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({
    groupId: job.groupId,
    maxBytesPerPartition: vars.CONSUMER_FETCH_MAX_PARTITION_MB * 1024 * 1024,
    maxBytes: vars.MESSAGE_TOTAL_MAX_MB * 1024 * 1024,
    minBytes: 1,
    maxWaitTimeInMs: 500,
  });
  return { consumer, producer: kafka.producer({ allowAutoTopicCreation: false }) };
}
