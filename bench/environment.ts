import { cpus, totalmem } from 'node:os';
import type { Broker } from './broker.ts';
import type { ClientName } from './clients.ts';
import type { RunInfo } from './job.ts';
import { versionsOf } from './peers.ts';

const BYTES_PER_GB = 1024 ** 3;

/** Ends runs and leaves no topic behind when the process is told to stop. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** On what is measured. */
export function runInfo(clients: readonly ClientName[], { kind }: Pick<Broker, 'kind'>): RunInfo {
  return {
    startedAt: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}`,
    memoryGb: Math.round(totalmem() / BYTES_PER_GB),
    broker: kind,
    versions: versionsOf(clients),
  };
}
