import { consumerSettings } from '../../src/config/consumer-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { type Job, type Report, varsOf } from '../job.ts';
import { OTHER_PROGRAM, performanceProgram, runProgram } from '../programs.ts';

/** What the program does by itself, or in its own way. */
const LEFT_OUT = ['bootstrap.servers', 'group.id', 'partition.assignment.strategy', 'enable.auto.offset.store', 'statistics.interval.ms'];

function settingArguments(settings: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(settings)
    .filter(([key]) => !LEFT_OUT.includes(key))
    .flatMap(([key, value]) => ['-X', `${key}=${value}`]);
}

/** One poll a record, nothing looked at but its size; the program's clock starts with the first record, too. */
export async function consumeByProgram(job: Job): Promise<Report> {
  const args = [
    '-G',
    job.groupId,
    '-b',
    job.bootstrapServers,
    '-c',
    String(job.records),
    ...job.inputTopics.flatMap((topic) => ['-t', topic]),
  ];
  if (job.headers > 0) args.push('-H', 'parse');
  return run(job, [...args, ...settingArguments(consumerSettings(varsOf(job)))], /([\d]+) messages .*consumed in (\d+)ms/g);
}

/** Values of a record's size, without keys, to one topic, every delivery report served. */
export async function produceByProgram(job: Job): Promise<Report> {
  const args = ['-P', '-b', job.bootstrapServers, '-t', job.outputTopics[0]!, '-s', String(job.recordBytes), '-c', String(job.records)];
  for (let header = 0; header < job.headers; header++) args.push('-H', `header-${header}=4bf92f3577b34da6a3ce929d`);
  return run(job, [...args, ...settingArguments(producerSettings(varsOf(job)))], /(\d+) delivered .* in (\d+)ms/g);
}

async function run(job: Job, args: readonly string[], summary: RegExp): Promise<Report> {
  const { output, cpuMicros, rssMb } = await runProgram(performanceProgram(), args);
  // It writes a line now and then; the last one is about all of it.
  const [, records, milliseconds] = [...output.matchAll(summary)].at(-1) ?? [];
  if (records === undefined) throw new Error(`No summary in what rdkafka_performance wrote: ${output.slice(-1_000)}`);
  return {
    recordsPerSecond: (Number(records) * 1000) / Number(milliseconds),
    cpuMicrosPerRecord: cpuMicros / Number(records),
    rssMb,
    ...OTHER_PROGRAM,
    faults: Number(records) >= job.records ? [] : [`${records} records instead of ${job.records}`],
  };
}
