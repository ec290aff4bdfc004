/**
 * A service in a process of its own: `node member.js TASK`, forked by `member-process.ts`. It never calls `process.exit`: that it ends
 * after a signal shows that nothing was left open.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerRecord, createConsumer, createProducer, type ProducerRecord, runAsync, runBatch, runSync } from 'rdkafka-toolkit';
import type { MemberCommand, MemberMessage, MemberTask } from './member-task.ts';
import { endWithParent, tellParent } from './parent-channel.ts';
import { outputOf } from './records.ts';

const PROGRESS_MS = 50;

const { pattern, input, output, source, pauseEvery, pauseMs } = JSON.parse(process.argv[2] ?? '') as MemberTask;
const tell = (message: MemberMessage): void => tellParent(message);

process.on('message', ({ blockMs }: MemberCommand) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
});
endWithParent();

const producer = await createProducer();
// Without producers to wait for, an offset is stored as soon as its record was handled: that loses what a kill leaves in the queue.
const consumer = await createConsumer({ topics: [input], producers: pattern === 'unsafe' ? [] : [producer] });
consumer.on('assigned', ({ length }) => tell({ kind: 'assigned', partitions: length }));
consumer.on('revoked', ({ length }) => tell({ kind: 'revoked', partitions: length }));
for (const client of [consumer, producer]) {
  client.on('clientError', ({ message }) => tell({ kind: 'clientError', message }));
  client.on('log', ({ facility, message }) => {
    if (facility === 'REQTMOUT') tell({ kind: 'requestTimeout', message });
  });
}

let handled = 0;
let told = -1;
const progress = setInterval(() => {
  if (handled === told) return;
  told = handled;
  tell({ kind: 'progress', handled, rssBytes: process.memoryUsage.rss() });
}, PROGRESS_MS);
progress.unref();

async function handleOne(record: ConsumerRecord): Promise<ProducerRecord> {
  handled++;
  if (pauseMs > 0 && handled % pauseEvery === 0) await sleep(pauseMs);
  return outputOf(record, output, source);
}

async function handleBatch(records: readonly ConsumerRecord[]): Promise<ProducerRecord[]> {
  const pauses = Math.floor((handled + records.length) / pauseEvery) - Math.floor(handled / pauseEvery);
  handled += records.length;
  if (pauseMs > 0 && pauses > 0) await sleep(pauses * pauseMs);
  return records.map((record) => outputOf(record, output, source));
}

const running =
  pattern === 'batch'
    ? runBatch({ consumer, producer, handler: handleBatch })
    : (pattern === 'sync' ? runSync : runAsync)({ consumer, producer, handler: handleOne });
// Not before: signals are the runner's from now on.
tell({ kind: 'ready', rssBytes: process.memoryUsage.rss() });
const result = await running;
// All is done: a signal that comes now must not change the exit code.
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => undefined);
tell({ kind: 'done', result });
