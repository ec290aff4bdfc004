import { createRequire } from 'node:module';
import { workerData } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import type { PackedRecords } from '../binding/packed-records.ts';
import { RecordBatch } from '../binding/record-batch.ts';
import { indexRange } from './lanes.ts';
import { loadHandler, RecordRunner, type RunnerSettings } from './record-runner.ts';
import { RemoteSchemas, type SchemaLink } from './schema-channel.ts';
import { type ThreadError, toThreadError } from './thread-error.ts';

/** What a worker is made with. */
export interface WorkerSettings extends RunnerSettings {
  /** The way to the main thread's registry client. */
  readonly channel: SchemaLink;
}

/** Records to handle, in memory that is transferred. */
export interface WorkerTask {
  readonly length: number;
  readonly bytes: ArrayBuffer;
  readonly columns: ArrayBuffer;
  readonly topics: readonly string[];
  /** Shared with the main thread: which record is being handled, should the worker die over it; negative while none is: the task waits, or is done. */
  readonly progress: Int32Array;
}

/** What became of them. */
export interface WorkerAnswer {
  readonly done: number;
  readonly error: ThreadError | undefined;
  /** Its memory is transferred. */
  readonly output: PackedRecords | undefined;
  /** Time it took, in milliseconds. */
  readonly elapsedMs: number;
}

const settings = workerData as WorkerSettings;
const schemas = new RemoteSchemas(settings.channel);
let runner: Promise<RecordRunner> | undefined;

/** Piscina's CommonJS entry: its ESM one does not load in a worker on Node 20. */
const { move, transferableSymbol, valueSymbol } = createRequire(import.meta.url)('piscina') as typeof Piscina;

function transferring(answer: WorkerAnswer): unknown {
  const { output } = answer;
  if (output === undefined) return answer;
  const memory = [output.bytes.buffer, output.columns.buffer, output.timestamps.buffer];
  return move({ [transferableSymbol]: memory, [valueSymbol]: answer } as never);
}

let last: Promise<unknown> = Promise.resolve();

/** Called by Piscina for each task: one waits here while another is handled, so that its worker never waits for the main thread. */
export default function handleTask(task: WorkerTask): Promise<unknown> {
  const answer = last.then(() => handle(task));
  last = answer.catch(() => undefined);
  return answer;
}

async function handle({ length, bytes, columns, topics, progress }: WorkerTask): Promise<unknown> {
  progress[0] = 0;
  runner ??= loadHandler(settings.handler, { registry: schemas }).then((handler) => new RecordRunner(handler, settings));
  const { decoders } = await runner;
  const batch = new RecordBatch(length, bytes, columns, topics, decoders);
  const startedAt = performance.now();
  const outcome = await (await runner).run(batch, indexRange(0, length), { signal: schemas.signal }, (place) => {
    progress[0] = place;
  });
  // Should the next task end this worker and take the answer along, that is not this one's doing.
  progress[0] = -1;
  const error = outcome.error === undefined ? undefined : toThreadError(outcome.error);
  return transferring({ done: outcome.done, error, output: outcome.output, elapsedMs: performance.now() - startedAt });
}
