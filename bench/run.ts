import { fork } from 'node:child_process';
import { ToolkitError } from 'rdkafka-toolkit';
import type { Broker } from './broker.ts';
import { type ClientName, canRun, type Job, type Mode, type Report, type Row } from './job.ts';
import type { BenchOptions } from './options.ts';
import { RECORD_BYTES } from './records.ts';

/** A contender that takes longer hangs. */
const RUN_TIMEOUT_MS = 180_000;

/** One run done: its row, or what was wrong with it. */
export interface Outcome {
  readonly row: Row;
  readonly faults: readonly string[];
}

/** Every job in the order it runs: repeat after repeat, in each the modes, in each the clients one after the other. */
export function planJobs(options: BenchOptions, broker: Broker): (Job & { readonly repeat: number })[] {
  const jobs: (Job & { readonly repeat: number })[] = [];
  const keyTopics = [...broker.keyTopics];
  for (let repeat = 1; repeat <= options.repeats; repeat++) {
    for (const mode of options.modes) {
      // Who goes first changes, so that being first is no advantage.
      const contestants = repeat % 2 === 1 ? options.contestants : options.contestants.toReversed();
      for (const [number, { client, vars }] of contestants.entries()) {
        if (!canRun(client, mode)) continue;
        for (const headers of options.headers) {
          const inputTopics = broker.inputTopics.get(headers)!;
          jobs.push({
            client,
            vars,
            mode,
            repeat,
            bootstrapServers: broker.bootstrapServers,
            groupId: `${inputTopics[0]}-${client}-${number}-${mode}-${repeat}`,
            inputTopics,
            outputTopics: mode === 'concurrent' ? keyTopics.splice(0, 1) : broker.outputTopics,
            records: recordsOf(options, client, mode),
            headers,
          });
        }
      }
    }
  }
  return jobs;
}

function recordsOf(options: BenchOptions, client: ClientName, mode: Mode): number {
  if (mode === 'sync') return options.syncRecords;
  if (mode === 'idle') return options.idleRecords;
  if (mode === 'concurrent') return client === 'rdkafka-toolkit' ? options.concurrentRecords : options.sequentialRecords;
  return options.records;
}

/** Runs a job in a fresh process and waits for its end. */
export async function runJob(job: Job & { readonly repeat: number }): Promise<Outcome> {
  const { faults, ...figures } = await report(job);
  const { client, vars, mode, records, headers, repeat } = job;
  return { row: { client, vars, mode, records, headers, recordBytes: RECORD_BYTES, repeat, ...figures }, faults };
}

function report(job: Job): Promise<Report> {
  const name = `${job.client}-${job.mode}`;
  const file = name.replace(/-portable|-unsafe|-metrics|-sequential|-at-least-once/, '');
  const env = job.client === 'rdkafka-toolkit-portable' ? { ...process.env, RDKAFKA_TOOLKIT_NATIVE: 'off' } : process.env;
  const child = fork(new URL(`contenders/${file}.js`, import.meta.url), { timeout: RUN_TIMEOUT_MS, env });
  return new Promise((resolve, reject) => {
    let answer: { report?: Report; error?: string } | undefined;
    child.once('message', (message) => {
      answer = message as typeof answer;
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (answer?.report !== undefined && code === 0) resolve(answer.report);
      else reject(new ToolkitError('ERR_STATE', `${name} failed: ${answer?.error ?? `it ended with ${signal ?? code} without a report`}`));
    });
    child.send(job);
  });
}
