import type { Job } from '../job.ts';
import { type BenchRecord, RecordMaker } from '../records.ts';

/** Batches of a job's records for clients that send many at once; each valid until the next with its number modulo `kept`. */
export function* batchesOf(job: Job, batchRecords: number, kept: number): Generator<BenchRecord[]> {
  // One for each place in a batch, since a maker uses its buffers again.
  const makers = Array.from({ length: batchRecords * kept }, () => new RecordMaker(job.outputTopics, job));
  for (let index = 0, batch = 0; index < job.records; batch++) {
    const records: BenchRecord[] = [];
    const first = (batch % kept) * batchRecords;
    while (records.length < batchRecords && index < job.records) records.push(makers[first + records.length]!.make(index++));
    yield records;
  }
}

/** Sends batch after batch, `kept` of them under way at once. */
export async function sendBatches(
  job: Job,
  batchRecords: number,
  kept: number,
  send: (records: readonly BenchRecord[]) => Promise<void>,
): Promise<void> {
  const underWay: Promise<void>[] = [];
  for (const records of batchesOf(job, batchRecords, kept)) {
    underWay.push(send(records));
    if (underWay.length === kept) await underWay.shift();
  }
  await Promise.all(underWay);
}
