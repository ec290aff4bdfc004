import { fileURLToPath } from 'node:url';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { type Job, type Report, varsOf } from '../job.ts';
import { OTHER_PROGRAM, runProgram } from '../programs.ts';

/** Compiled to dist/, where no Python file is copied. */
const SCRIPT = new URL('../../../bench/contenders/confluent-kafka.py', import.meta.url);

/** Counts records and bytes and stores offsets once a batch; producing counts the delivery reports. */
export async function runPython(job: Job): Promise<Report> {
  const vars = varsOf(job);
  const settings = job.mode === 'produce' ? producerSettings(vars) : consumerSettings(vars);
  const input = JSON.stringify({ ...job, settings });
  const { output, cpuMicros, rssMb } = await runProgram('python3', [fileURLToPath(SCRIPT)], input);
  const { recordsPerSecond, count } = JSON.parse(output) as { recordsPerSecond: number; count: number };
  return {
    recordsPerSecond,
    cpuMicrosPerRecord: cpuMicros / job.records,
    rssMb,
    ...OTHER_PROGRAM,
    faults: count === job.records ? [] : [`${count} records instead of ${job.records}`],
  };
}
