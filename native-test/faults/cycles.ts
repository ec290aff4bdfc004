/** Opens and closes clients again and again, closing them in the midst of what they do: `node cycles.js TASK`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createConsumer, createProducer, isToolkitError } from 'rdkafka-toolkit';
import { Random } from '../support/random.ts';
import { endWithParent, tellParent } from './parent-channel.ts';

/** What the cycles came to. */
export interface CycleReport {
  readonly cycles: number;
  readonly unsettled: number;
  /** Rejections that are no error of the toolkit's. */
  readonly unexpected: readonly string[];
}

const SETTLE_TIMEOUT_MS = 20_000;
const RECORDS = 20;

const task = JSON.parse(process.argv[2] ?? '') as { readonly topic: string; readonly cycles: number; readonly seed: number };
const random = new Random(task.seed);
const unexpected: string[] = [];
let unsettled = 0;
let cycles = 0;

/** Notes a promise; whatever it comes to is right, unless it comes to nothing. */
async function watch(promise: Promise<unknown>): Promise<void> {
  unsettled++;
  try {
    await promise;
  } catch (error) {
    if (!isToolkitError(error)) unexpected.push(String(error));
  }
  unsettled--;
}

async function cycle(number: number): Promise<void> {
  const groupId = random.next() < 0.5 ? 'cycles' : `cycles-${number}`;
  const [consumer, producer] = await Promise.all([createConsumer({ topics: [task.topic], groupId }), createProducer()]);
  const watched: Promise<void>[] = [];
  for (let index = 0; index < RECORDS; index++) watched.push(watch(producer.send({ topic: task.topic, value: `${number}/${index}` })));
  const actions = random.integer(0, 3);
  for (let index = 0; index < actions; index++) watched.push(watch(consumer.consume({ timeoutMs: 1_000 })));
  if (random.next() < 0.3) watched.push(watch(consumer.consumeBatch({ count: RECORDS, timeoutMs: 500 })));
  if (random.next() < 0.3) watched.push(watch(producer.flush()));
  await sleep(random.integer(0, 300));
  for (let index = 0; index < 2; index++) watched.push(watch(consumer.close()), watch(producer.close()));
  const settled = Promise.all(watched);
  await Promise.race([settled, sleep(SETTLE_TIMEOUT_MS, undefined, { ref: false })]);
  if (unsettled === 0) cycles++;
}

endWithParent();
for (let number = 0; number < task.cycles && unsettled === 0; number++) await cycle(number);
const report: CycleReport = { cycles, unsettled, unexpected };
tellParent(report);
if (unsettled > 0) process.exitCode = 1;
