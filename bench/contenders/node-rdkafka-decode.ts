import { PlainAvro } from '../avro/plain-avro.ts';
import { fareFaults } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { connectConsumer, consumeBatches, disconnect, LastOffsets } from './node-rdkafka-client.ts';

contend(async (job, meter) => {
  const codec = new PlainAvro(job.fields);
  const last = new LastOffsets();
  const consumer = await connectConsumer(job);
  let sum = 0;
  let count = 0;
  await consumeBatches(consumer, 1_000, (messages) => {
    if (!meter.started) meter.start(messages.length);
    for (const message of messages) {
      sum += codec.decode(message.value as Buffer).fare;
      last.note(message);
    }
    consumer.offsetsStore(last.take());
    count += messages.length;
    return count < job.records;
  });
  meter.stop();
  await disconnect(consumer);
  return fareFaults(sum, job);
});
