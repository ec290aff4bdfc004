import { setTimeout as sleep } from 'node:timers/promises';
import type { Meter } from './contender.ts';
import type { Job } from './job.ts';

/** Pause between two looks at the schedule. */
const TICK_MS = 1;

/** Part of a load at whose latencies nobody looks: connections and code warm up. */
const WARM_UP_MS = 1_000;

/** Value bytes are filled up to this, as many as the other modes' records have. */
const VALUE_BYTES = 142;

/** A client's two ends. */
export interface Ends {
  send(value: Buffer): void;
  /** Gives values that came to `take` until it returns false. */
  receive(take: (value: Buffer) => boolean): Promise<void>;
}

/** Calls `send` for each time of an open schedule: what is late is sent at once, and the schedule never waits for anybody. */
export async function openLoop(rate: number, done: () => boolean, send: (dueAt: number) => void): Promise<void> {
  const startedAt = performance.now();
  for (let sent = 0; !done(); ) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * rate);
    while (sent <= due && !done()) send(startedAt + (sent++ * 1_000) / rate);
    await sleep(TICK_MS);
  }
}

/**
 * Sends `job.records` records at `job.rate` and measures each from the time it was due to its arrival in the same process, so that a client
 * that stalls cannot hide the records it held up.
 */
export async function measureLoad(job: Job, meter: Meter, { send, receive }: Ends): Promise<readonly string[]> {
  const rate = job.rate!;
  const warmUp = Math.ceil((rate * WARM_UP_MS) / 1_000);
  const total = warmUp + job.records;
  let received = 0;
  const receiving = receive((value) => {
    const now = performance.now();
    if (received++ === warmUp) meter.start(0);
    if (received > warmUp) meter.latency(now - value.readDoubleLE(0));
    return received < total;
  });
  let sent = 0;
  await openLoop(
    rate,
    () => sent === total,
    (dueAt) => {
      const value = Buffer.alloc(VALUE_BYTES);
      value.writeDoubleLE(dueAt, 0);
      sent++;
      send(value);
    },
  );
  await receiving;
  meter.stop();
  return [];
}
