import { setTimeout as sleep } from 'node:timers/promises';
import type { Meter } from './contender.ts';
import type { Job } from './job.ts';

/** Time between two records: 10 a second. */
const INTERVAL_MS = 100;
const WARM_UP_RECORDS = 5;

/** A client's two ends. */
export interface Ends {
  send(value: string): void;
  /** The values that came, at least one; waits for it. */
  take(): Promise<readonly string[]>;
}

/**
 * Sends a record every 100 ms and measures from there to its arrival in the same process. What was in the topic before, and the first
 * records, are not counted. The topic is read from its start: a consumer that starts at the end may find it only after the first record.
 */
export async function measureIdle(job: Job, meter: Meter, { send, take }: Ends): Promise<readonly string[]> {
  const total = job.records + WARM_UP_RECORDS;
  let received = 0;
  let sent = 0;
  const receiving = (async () => {
    while (received < total) {
      for (const value of await take()) {
        const now = performance.now();
        const [group, number, at] = value.split(' ');
        if (group !== job.groupId) continue;
        received++;
        if (Number(number) === WARM_UP_RECORDS) meter.start(0);
        if (Number(number) >= WARM_UP_RECORDS) meter.latency(now - Number(at));
      }
    }
  })();
  while (sent < total) {
    await sleep(INTERVAL_MS);
    send(`${job.groupId} ${sent++} ${performance.now()}`);
  }
  await receiving;
  meter.stop();
  return received === total ? [] : [`${received} of ${total} records`];
}
