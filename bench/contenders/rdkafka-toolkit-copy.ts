import { consumeMessage, createConsumer, createProducer, enqueueAutoCommits, produceMessage } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { startMetrics } from '../metrics.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  // Before the clients: the start of its thread is no throughput.
  const metrics = startMetrics(job);
  const checker = new RecordChecker(job);
  const vars = varsOf(job);
  const topic = job.outputTopics[0]!;
  const producer = await createProducer({ vars });
  // Offsets that wait for nobody's outputs: what at-least-once costs.
  const producers = job.client === 'rdkafka-toolkit-unsafe' ? [] : undefined;
  const consumer = await createConsumer({ vars, topics: job.inputTopics, producers });
  metrics?.watchConsumer(consumer);
  metrics?.watchProducer(producer);
  const wait = { timeoutMs: 60_000 };
  while (checker.count < job.records) {
    const record = await consumeMessage(consumer, metrics, wait);
    if (!meter.started) meter.start(1);
    const { key, value } = record;
    checker.check(record.topic, record.partition, record.offset, key, value);
    await produceMessage(producer, { topic, key }, metrics, value);
    enqueueAutoCommits(consumer, record);
  }
  // Throws when a report is missing or bad.
  await producer.flush();
  meter.stop();
  await consumer.close();
  await producer.close();
  return checker.faults();
});
