/**
 * A service in a process of its own: `node member.js TASK`, forked by `member-process.ts`. It never calls `process.exit`: that it ends
 * after a signal shows that nothing was left open.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConsumerRecord,
  createConsumer,
  createProducer,
  type Producer,
  type ProducerRecord,
  type RunResult,
  runAsync,
  runBatch,
  runSync,
  runTransaction,
} from 'rdkafka-toolkit';
import { FailingHandler, failuresOf, HANDLER_TIMEOUT_MS, poisonDeserializer } from './failing-handler.ts';
import type { MemberCommand, MemberMessage, MemberTask } from './member-task.ts';
import { endWithParent, tellParent } from './parent-channel.ts';
import { outputOf } from './records.ts';

const PROGRESS_MS = 50;

/** Long enough for most kills to find a transaction open, its outputs written. */
const TRANSACTION_MS = 300;

const { pattern, input, output, source, pauseEvery, pauseMs, failing, concurrency, order } = JSON.parse(
  process.argv[2] ?? '',
) as MemberTask;
const tell = (message: MemberMessage): void => tellParent(message);

process.on('message', ({ blockMs }: MemberCommand) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
});
endWithParent();

const producer = await createProducer();
// Without producers to wait for, an offset is stored as soon as its record was handled: that loses what a kill leaves in the queue.
const consumer = await createConsumer({
  topics: failing === 'delayed' ? [input, `${output}-again`] : [input],
  producers: pattern === 'unsafe' ? [] : [producer],
  ...(failing === 'poison' ? { valueDeserializer: poisonDeserializer } : {}),
});
consumer.on('assigned', ({ length }) => tell({ kind: 'assigned', partitions: length }));
consumer.on('revoked', ({ length }) => tell({ kind: 'revoked', partitions: length }));
for (const client of [consumer, producer]) {
  client.on('clientError', ({ message }) => tell({ kind: 'clientError', message }));
  client.on('log', ({ facility, message }) => {
    if (facility === 'REQTMOUT') tell({ kind: 'requestTimeout', message });
  });
}

const failingHandler = new FailingHandler(failing, `${output}-dead`, producer);
let handled = 0;
let told = -1;
const progress = setInterval(() => {
  if (handled === told) return;
  told = handled;
  tell({ kind: 'progress', handled, memory: process.memoryUsage() });
}, PROGRESS_MS);
progress.unref();

async function handleOne(record: ConsumerRecord): Promise<ProducerRecord | undefined> {
  handled++;
  if (pauseMs > 0 && handled % pauseEvery === 0) await sleep(pauseMs);
  // As long as chance will have it, so that those that do not wait for each other overtake.
  if (concurrency !== undefined) await sleep(Math.random() * 5);
  if (failing !== undefined && (await failingHandler.fail(record))) return undefined;
  return outputOf(record, output, source);
}

async function handleBatch(records: readonly ConsumerRecord[]): Promise<ProducerRecord[]> {
  const pauses = Math.floor((handled + records.length) / pauseEvery) - Math.floor(handled / pauseEvery);
  handled += records.length;
  if (pauseMs > 0 && pauses > 0) await sleep(pauses * pauseMs);
  return records.map((record) => outputOf(record, output, source));
}

/** A producer of the transactions, the same in each life of this process. */
const transactional = (): Promise<Producer> =>
  createProducer({ config: { 'transactional.id': `${input}-${process.env.HOSTNAME ?? source}` } });

function run(): Promise<RunResult> {
  const failures = failuresOf(failing, `${output}-again`, `${output}-dead`);
  switch (pattern) {
    case 'batch':
      return runBatch({ consumer, producer, handler: handleBatch });
    case 'sync':
      return runSync({ consumer, producer, handler: handleOne });
    case 'transaction':
      return runTransaction({ consumer, producer: transactional, handler: handleOne, intervalMs: TRANSACTION_MS });
    default: {
      const handlerTimeoutMs = failing === 'failing' ? HANDLER_TIMEOUT_MS : undefined;
      return runAsync({ consumer, producer, handler: handleOne, failures, handlerTimeoutMs, concurrency, order });
    }
  }
}

const running = run();
// Not before: signals are the runner's from now on.
tell({ kind: 'ready', rssBytes: process.memoryUsage.rss() });
const result = await running;
// The runner has closed the producers of its transactions, and knows nothing of this one.
if (pattern === 'transaction') await producer.close();
// All is done: a signal that comes now must not change the exit code.
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => undefined);
tell({ kind: 'done', result });
