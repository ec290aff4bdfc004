import { setImmediate as immediate } from 'node:timers/promises';
import rdkafka from 'node-rdkafka';
import { contend } from '../contender.ts';
import { DeliveryChecker, RecordMaker } from '../records.ts';
import { type Binding, connectProducer, disconnect } from './node-rdkafka-client.ts';

/** Records between two polls for delivery reports: node-rdkafka hands 100 of them to JavaScript a turn of the event loop. */
const POLL_EVERY = 100;

/** `produce` record by record, every delivery report counted. */
export function runProduce(load?: () => Promise<Binding>): void {
  contend(async (job, meter) => {
    const checker = new DeliveryChecker(job);
    const maker = new RecordMaker(job.outputTopics, job);
    const producer = await connectProducer(job, await load?.());
    producer.on('delivery-report', (error, { topic, partition, offset }) => {
      if (error) checker.failed();
      else checker.delivered(topic, partition, offset);
    });
    meter.start(0);
    for (let index = 0; index < job.records; ) {
      const { topic, partition, key, value, headers } = maker.make(index);
      try {
        producer.produce(
          topic,
          partition,
          value,
          key,
          null,
          null,
          headers?.map((header) => ({ [header.name]: header.value })),
        );
        index++;
      } catch (error) {
        if ((error as { code?: number }).code !== rdkafka.CODES.ERRORS.ERR__QUEUE_FULL) throw error;
        producer.poll();
        await immediate();
        continue;
      }
      if (index % POLL_EVERY === 0) {
        producer.poll();
        await immediate();
      }
    }
    await new Promise<void>((resolve, reject) => {
      producer.flush(60_000, (error) => (error ? reject(error) : resolve()));
    });
    // The flush leaves the last reports to the event loop.
    for (const deadline = Date.now() + 60_000; checker.count < job.records && Date.now() < deadline; ) {
      producer.poll();
      await immediate();
    }
    meter.stop();
    await disconnect(producer);
    return checker.faults(job);
  });
}
