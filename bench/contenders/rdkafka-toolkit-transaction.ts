import { type ConsumerRecord, createConsumer, createProducer, type ProducerRecord, runBatch, runTransaction } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const vars = varsOf(job);
  const topic = job.outputTopics[0]!;
  const stop = new AbortController();
  const copy = (record: ConsumerRecord): ProducerRecord => {
    if (!meter.started) meter.start(1);
    const { key, value } = record;
    checker.check(record.topic, record.partition, record.offset, key, value);
    if (checker.count === job.records) stop.abort();
    return { topic, key, value };
  };
  const consumer = await createConsumer({ vars, topics: job.inputTopics });
  const options = { consumer, handleSignals: false, closeClients: false, signal: stop.signal };
  // The clock stops when all is delivered and committed, which for a transaction is its end.
  if (job.client === 'rdkafka-toolkit') {
    await runTransaction({
      ...options,
      producer: () => createProducer({ vars, config: { 'transactional.id': job.groupId } }),
      handler: copy,
    });
    meter.stop();
  } else {
    const producer = await createProducer({ vars });
    await runBatch({ ...options, producer, count: 1_000, timeoutMs: 100, handler: (records) => records.map(copy) });
    await producer.flush();
    meter.stop();
    await producer.close();
  }
  await consumer.close();
  return checker.faults();
});
