import type { Command } from 'commander';
import { parseRuntimeVars } from '../runtime-vars.ts';
import { parseCount } from './arguments.ts';
import type { BenchResult } from './bench-run.ts';
import { stopSignal } from './stop-signal.ts';
import { printLine, styled } from './terminal.ts';

interface Flags {
  readonly topic?: string;
  readonly records: number;
  readonly size: number;
  readonly partitions: number;
  readonly json?: boolean;
}

/** Adds `bench`: what this machine, this network and the user's brokers give together. */
export function register(program: Command): void {
  program
    .command('bench')
    .description('Measures your brokers from here: records produced and read per second, and the time of one acknowledged record.')
    .option(
      '--topic <name>',
      'an existing topic to write to; its records stay (default: a topic of its own, deleted at the end; an embedded broker keeps it)',
    )
    .option('--records <count>', 'records to move', parseCount, 200_000)
    .option('--size <bytes>', 'bytes of a value', parseCount, 100)
    .option('--partitions <count>', 'partitions of the topic of its own', parseCount, 4)
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\nIt uses the runtime variables as a service would. Comparisons with other clients are in the repository: npm run bench.',
    )
    .action(async ({ json = false, ...flags }: Flags) => {
      const { runBench } = await import('./bench-run.ts');
      const result = await runBench({ vars: parseRuntimeVars(), ...flags, signal: stopSignal() });
      printLine(json ? JSON.stringify(result, undefined, 2) : describe(result, flags));
    });
}

function describe({ produced, consumed, acknowledged, io }: BenchResult, { size, records }: Flags): string {
  const rate = (perSecond: number): string =>
    `${styled('bold', Math.round(perSecond).toLocaleString('en'))} records/s, ${((perSecond * size) / 1_048_576).toFixed(1)} MB/s`;
  const short = consumed.records < records ? ` (${consumed.records} of ${records}: the broker kept no more)` : '';
  return [
    `produced  ${rate(produced.recordsPerSecond)}`,
    `consumed  ${rate(consumed.recordsPerSecond)}${short}`,
    `one acknowledged record  median ${acknowledged.medianMs.toFixed(1)} ms, slowest of ${acknowledged.records} ${acknowledged.maxMs.toFixed(1)} ms`,
    styled('dim', `I/O: ${io}`),
  ].join('\n');
}
