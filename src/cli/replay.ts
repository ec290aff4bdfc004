import type { Command } from 'commander';
import type { DeadLetter, ReplayAction } from '../patterns/replay.ts';
import { parseCount, parseTime } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { note, printLine, visible } from './terminal.ts';

interface Flags {
  readonly to?: string;
  readonly exception?: string;
  readonly from?: string;
  readonly key?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit?: number;
  readonly dryRun?: boolean;
  readonly all?: boolean;
  readonly group?: string;
  readonly quiet?: boolean;
}

/** Adds `replay` to the program. */
export function register(program: Command): void {
  program
    .command('replay')
    .description('Puts dead letters back where they came from, as they were. Goes on where the last replay without filters ended.')
    .argument('[topics...]', 'dead-letter topics (default: PRODUCE_FAILURE_TOPICS)')
    .option('--to <topic>', 'put them into this topic instead')
    .option('--exception <class>', 'only those that failed with this class of error')
    .option('--from <topic>', 'only those that came from this topic')
    .option('--key <text>', 'only those with this key')
    .option('--since <time>', 'only those that became dead letters at this ISO time or later', parseTime)
    .option('--until <time>', 'only those that became dead letters before this ISO time', parseTime)
    .option('--limit <count>', 'at most so many', parseCount)
    .option('--all', 'those that were put back before, too')
    .option('--group <id>', 'group that remembers how far they were put back (default: APP_NAME with .replay behind it)')
    .option('--dry-run', 'only say what would be done')
    .option('--quiet', 'no line for each')
    .action(async (topics: string[], flags: Flags) => run(topics, flags));
}

async function run(topics: readonly string[], flags: Flags): Promise<void> {
  const { dryRun = false, quiet = false } = flags;
  const { replayDeadLetters } = await import('../patterns/replay.ts');
  const filters = [flags.exception, flags.from, flags.key, flags.since, flags.until];
  const result = await replayDeadLetters({
    topics: topics.length === 0 ? undefined : topics,
    to: flags.to,
    filter: filters.every((each) => each === undefined) ? undefined : (letter) => isWanted(letter, flags),
    limit: flags.limit,
    dryRun,
    all: flags.all,
    groupId: flags.group,
    onLetter: quiet ? undefined : (letter, action) => printLine(visible(describe(letter, action, flags))),
  });
  const { read, replayed, filtered, homeless } = result;
  printLine(
    `${dryRun ? 'would put back' : 'put back'} ${replayed} of ${read} dead letters, ${filtered} left out, ${homeless} without an origin`,
  );
  if (homeless > 0) {
    note(
      dryRun
        ? 'Those without an origin need a topic: --to'
        : 'Those without an origin are passed over from now on: name a topic with --to, and --all to see them again',
    );
    process.exitCode = exitCodes.failure;
  }
}

function isWanted({ record, origin }: DeadLetter, { exception, from, key, since, until }: Flags): boolean {
  return (
    (exception === undefined || origin?.exception === exception) &&
    (from === undefined || origin?.topic === from) &&
    (key === undefined || record.rawKey?.toString('utf8') === key) &&
    (since === undefined || record.timestamp >= since) &&
    (until === undefined || record.timestamp < until)
  );
}

function describe({ record, origin }: DeadLetter, action: ReplayAction, { to }: Flags): string {
  const place = `${record.topic} [${record.partition}] @ ${record.offset}`;
  if (action === 'homeless') return `${place}: does not say where it came from; name a topic with --to`;
  if (action === 'filtered') return `${place}: left out`;
  const target = to ?? `${origin?.topic} [${origin?.partition}]`;
  return `${place} → ${target} (${origin?.exception ?? 'unknown error'}: ${origin?.exceptionMessage ?? ''})`;
}
