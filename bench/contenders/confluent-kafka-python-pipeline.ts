import { fileURLToPath } from 'node:url';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { tripSchemas } from '../avro/records.ts';
import { answer } from '../contender.ts';
import { varsOf } from '../job.ts';
import { OTHER_PROGRAM, runProgram } from '../programs.ts';

/** Compiled to dist/, where no Python file is copied. */
const SCRIPT = new URL('../../../bench/contenders/confluent-kafka-pipeline.py', import.meta.url);

/** By hand with fastavro; outputs are counted. */
answer(async (job) => {
  const vars = varsOf(job);
  const settings = { consumer: consumerSettings(vars), producer: producerSettings(vars) };
  const input = JSON.stringify({ ...job, settings, schema: JSON.parse(tripSchemas[job.fields].text) });
  const { output, rssMb } = await runProgram('python3', [fileURLToPath(SCRIPT)], input);
  const { recordsPerSecond, cpuMicrosPerRecord, delivered } = JSON.parse(output) as Record<
    'recordsPerSecond' | 'cpuMicrosPerRecord' | 'delivered',
    number
  >;
  const faults = delivered === job.records ? [] : [`${delivered} outputs instead of ${job.records}`];
  return { recordsPerSecond, cpuMicrosPerRecord, rssMb, ...OTHER_PROGRAM, faults };
});
