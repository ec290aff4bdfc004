import type { ResourceLimits } from 'node:worker_threads';
import type { Piscina } from 'piscina';

/** How many workers, and what each may take. */
export interface WorkersSettings {
  readonly workers: number;
  /** Tasks that a worker has at most, those that wait in it included. @default 1 */
  readonly tasksPerWorker?: number | undefined;
  readonly resourceLimits: ResourceLimits | undefined;
}

/**
 * Starts Piscina's workers. Loaded late: a service without a pool does not pay for it.
 *
 * @param file The compiled worker, whose default export handles a task.
 */
export async function openWorkers<Task, Answer>(
  file: URL,
  workerData: object,
  { workers, tasksPerWorker = 1, resourceLimits }: WorkersSettings,
): Promise<Piscina<Task, Answer>> {
  const piscina = await import('piscina');
  const pool = new piscina.Piscina<Task, Answer>({
    filename: new URL('./entry.cjs', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: tasksPerWorker,
    maxQueue: workers * tasksPerWorker,
    workerData: { ...workerData, module: file.href },
    recordTiming: false,
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  });
  // What ends a worker ends its task as well, which tells.
  pool.on('error', () => undefined);
  return pool;
}
