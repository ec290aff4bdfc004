import { contend } from '../contender.ts';
import { RecordChecker } from '../records.ts';
import { type Binding, connectConsumer, consumeBatches, disconnect, LastOffsets } from './node-rdkafka-client.ts';

/**
 * `consume(1000)`, a plain loop over the records, the last offset of each partition stored once a batch. node-rdkafka has no faster
 * way to look at one record after the other, so it stands for the async, iterate and batch modes alike.
 */
export function runConsume(load?: () => Promise<Binding>): void {
  contend(async (job, meter) => {
    const checker = new RecordChecker(job);
    const last = new LastOffsets();
    const consumer = await connectConsumer(job, job.inputTopics, await load?.());
    await consumeBatches(consumer, 1000, (messages) => {
      if (!meter.started) meter.start(messages.length);
      for (const message of messages) {
        checker.check(message.topic, message.partition, message.offset, message.key as Buffer | null, message.value);
        if (job.headers > 0) {
          const headers = message.headers ?? [];
          checker.checkHeaders(headers.length, Object.values(headers[0] ?? {})[0] as Buffer | undefined);
        }
        last.note(message);
      }
      consumer.offsetsStore(last.take());
      return checker.count < job.records;
    });
    meter.stop();
    await disconnect(consumer);
    return checker.faults();
  });
}
