import { contend } from '../contender.ts';
import { RecordChecker } from '../records.ts';
import { consumeSettings, openStream, type PlatformaticMessage } from './platformatic-kafka-client.ts';

/** Its stream, by the `data` event, or by `for await`. */
export function runStream(by: 'data' | 'iterate'): void {
  contend(async (job, meter) => {
    meter.settings('consumer', consumeSettings(job));
    const checker = new RecordChecker(job);
    const { stream, close } = await openStream(job);
    const take = ({ topic, partition, offset, key, value, headers }: PlatformaticMessage): boolean => {
      if (!meter.started) meter.start(1);
      checker.check(topic, partition, Number(offset), key, value);
      if (job.headers > 0) checker.checkHeaders(headers.size, headers.values().next().value);
      return checker.count < job.records;
    };
    if (by === 'iterate') {
      for await (const message of stream) if (!take(message)) break;
    } else {
      await new Promise<void>((resolve, reject) => {
        stream.once('error', reject);
        stream.on('data', (message: PlatformaticMessage) => {
          if (!take(message)) resolve();
        });
      });
    }
    meter.stop();
    await close();
    return checker.faults();
  });
}
