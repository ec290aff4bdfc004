import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { ConfigError, ConnectError, StateError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { type Admin, connectAdmin } from './admin.ts';
import { parseCount } from './arguments.ts';
import { printLine, styled, visible } from './terminal.ts';

const TIMEOUT_MS = 10_000;

interface CreateFlags {
  readonly partitions?: number;
  readonly replicas?: number;
  readonly config?: Readonly<Record<string, string>>;
}

/** Adds `topics`: list, describe, create and delete. */
export function register(program: Command): void {
  const topics = program.command('topics').description('Lists, describes, creates and deletes topics.');
  topics
    .command('list')
    .description("The cluster's topics and their numbers of partitions.")
    .option('--internal', "Kafka's own topics, too")
    .option('--json', 'as JSON')
    .action(list);
  topics
    .command('describe')
    .description('Partitions of topics: leader, first and next offset.')
    .argument('<topics...>')
    .option('--json', 'as JSON')
    .action(describe);
  topics
    .command('create')
    .description('Creates a topic. Not on the embedded broker, which creates topics on first use.')
    .argument('<topic>')
    .option('--partitions <count>', "number of partitions (default: the broker's)", parseCount)
    .option('--replicas <count>', "copies of each (default: the broker's)", parseCount)
    .option('--config <key=value>', "one of the topic's own settings; may be repeated", addSetting)
    .action(create);
  topics
    .command('delete')
    .description('Deletes topics and all their records.')
    .argument('<topics...>')
    .option('--yes', 'without asking')
    .action(remove);
}

async function list({ internal = false, json = false }: { readonly internal?: boolean; readonly json?: boolean }): Promise<void> {
  await using admin = await connectAdmin();
  const { topics } = await admin.handle.metadata(TIMEOUT_MS);
  const found = topics
    .filter(({ name }) => internal || !name.startsWith('__'))
    .map(({ name, partitions }) => ({ name, partitions: partitions.length }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (json) printLine(JSON.stringify(found, undefined, 2));
  const width = Math.max(0, ...found.map(({ name }) => name.length));
  if (!json) for (const { name, partitions } of found) printLine(`${name.padEnd(width)}  ${styled('dim', `${partitions} partitions`)}`);
}

async function describe(names: readonly string[], { json = false }: { readonly json?: boolean }): Promise<void> {
  await using admin = await connectAdmin();
  const described = await Promise.all((await known(admin, names)).map((topic) => describeTopic(admin, topic)));
  if (json) {
    printLine(JSON.stringify(described, undefined, 2));
    return;
  }
  for (const { name, records, partitions } of described) {
    printLine(`${styled('bold', name)}  ${partitions.length} partitions, ${records} offsets in use`);
    for (const { partition, leader, low, high } of partitions) {
      const where = leader < 0 ? styled('red', 'no leader') : `leader ${leader}`;
      printLine(`  ${String(partition).padStart(4)}  ${where}  ${low} … ${high}`);
    }
  }
}

interface Partition {
  readonly partition: number;
  readonly leader: number;
  readonly low: number | undefined;
  readonly high: number | undefined;
}

type TopicMetadata = Admin['metadata']['topics'][number];

async function describeTopic(
  { handle }: Admin,
  { name, partitions }: TopicMetadata,
): Promise<{ name: string; records: number; partitions: Partition[] }> {
  const rows: Partition[] = [];
  for (const { id, leader } of [...partitions].sort((a, b) => a.id - b.id)) {
    const ends = leader < 0 ? undefined : await handle.watermarks(name, id, TIMEOUT_MS);
    rows.push({ partition: id, leader, low: ends?.low, high: ends?.high });
  }
  return { name, records: rows.reduce((sum, { low = 0, high = 0 }) => sum + high - low, 0), partitions: rows };
}

/** @throws ConnectError for one that is not there */
async function known({ handle, bootstrapServers }: Admin, names: readonly string[]): Promise<TopicMetadata[]> {
  const { topics } = await handle.metadata(TIMEOUT_MS);
  return names.map((name) => {
    const topic = topics.find((each) => each.name === name);
    if (topic !== undefined) return topic;
    throw new ConnectError(`Unknown topic at ${bootstrapServers}: ${name}`, { code: 'ERR_UNKNOWN_TOPIC', topic: name });
  });
}

async function create(name: string, { partitions = -1, replicas = -1, config = {} }: CreateFlags): Promise<void> {
  await using admin = await connectAdmin();
  if (admin.metadata.topics.some((topic) => topic.name === name)) {
    throw new StateError(`Cannot create topic ${name}: it is there already`, { kafkaCode: kafkaCodes.topicAlreadyExists, topic: name });
  }
  await admin.handle.createTopic({ name, partitions, replicas, config });
  printLine(`created ${name}`);
}

async function remove(names: readonly string[], { yes = false }: { readonly yes?: boolean }): Promise<void> {
  await using admin = await connectAdmin();
  const described = await Promise.all((await known(admin, names)).map((topic) => describeTopic(admin, topic)));
  if (!yes) await confirm(described, admin.bootstrapServers);
  for (const name of names) {
    await admin.handle.deleteTopic(name);
    printLine(`deleted ${name}`);
  }
}

/** @throws ConfigError where there is nobody to ask; StateError when the answer is no */
async function confirm(topics: readonly { readonly name: string; readonly records: number }[], servers: string): Promise<void> {
  if (process.stdin.isTTY !== true) throw new ConfigError(['Expected --yes to delete topics without a terminal to ask at']);
  const what = topics.map(({ name, records }) => `${visible(name)} (${records} offsets in use)`).join(', ');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Delete ${what} at ${servers}? Type yes: `);
    if (answer.trim() !== 'yes') throw new StateError('Nothing was deleted: the answer was not yes');
  } finally {
    terminal.close();
  }
}

function addSetting(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const match = /^([\w.]+)=(.*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Expected key=value, e.g. cleanup.policy=compact.');
  return { ...before, [match[1]!]: match[2]! };
}
