import { decodeCase } from './cases/decode.ts';
import { pipelineCase } from './cases/pipeline.ts';
import { poolCase } from './cases/pool.ts';
import { registryCase } from './cases/registry.ts';
import type { AvroJob, AvroReport, Case } from './job.ts';

const cases: Readonly<Record<Case, (job: AvroJob) => Promise<AvroReport>>> = {
  decode: decodeCase,
  registry: registryCase,
  'pool-light': poolCase,
  'pool-heavy': poolCase,
  pipeline: pipelineCase,
};

/** A contender's process: the job comes by message, the report goes back by message. */
process.once('message', (message) => {
  const job = message as AvroJob;
  void cases[job.case](job).then(
    (report) => process.send?.({ report }, () => process.disconnect()),
    (error: unknown) => {
      process.exitCode = 1;
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, () => process.disconnect());
    },
  );
});
