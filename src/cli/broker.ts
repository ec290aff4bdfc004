import { once } from 'node:events';
import { type Command, InvalidArgumentError } from 'commander';
import { parseCount, parseIndex } from './arguments.ts';
import { stopSignal } from './stop-signal.ts';
import { note, printLine, styled } from './terminal.ts';

interface Topic {
  readonly name: string;
  readonly partitions?: number;
}

interface Flags {
  readonly topic?: readonly Topic[];
  readonly brokers: number;
  readonly registryPort: number;
}

/** Adds `broker`: the embedded Kafka and registry, for other processes of this machine. */
export function register(program: Command): void {
  program
    .command('broker')
    .description('Runs an embedded Kafka and schema registry to develop against, until it is stopped. They forget everything then.')
    .option('--topic <name[:partitions]>', 'create this topic at once; may be repeated (others: on first use, 4 partitions)', addTopic)
    .option('--brokers <count>', 'number of brokers', parseCount, 1)
    .option('--registry-port <port>', 'port of the registry (0: a free one)', parseIndex, 0)
    .addHelpText(
      'after',
      '\nThe variables to set come to standard output, one a line:\n  rdkafka-toolkit broker > .env.kafka &\n  node --env-file=.env.kafka service.js\n\nIt creates topics on first use and by --topic, not by topics create, and looks up no offsets by time (consume --from <time>).',
    )
    .action(run);
}

async function run({ topic: topics = [], brokers, registryPort }: Flags): Promise<void> {
  const { startMockCluster } = await import('../testing/mock-cluster.ts');
  const { startSchemaRegistry } = await import('../testing/schema-registry-server.ts');
  const stopped = stopSignal();
  await using registry = await startSchemaRegistry({ port: registryPort });
  await using cluster = await startMockCluster({ brokers, topics });
  printLine(`KAFKA_BOOTSTRAP_SERVERS=${cluster.bootstrapServers}`);
  // A group whose last member has left takes the next one only when its session is nearly over.
  printLine('CONSUMER_HEARTBEAT_TIMEOUT_SECONDS=2');
  printLine(`SCHEMA_REGISTRY_URL=${registry.url}`);
  note(
    styled(
      'dim',
      `Running as process ${process.pid}; stop it with Ctrl-C or kill ${process.pid}. A partition keeps the last 5 MB.`,
      process.stderr,
    ),
  );
  if (!stopped.aborted) await once(stopped, 'abort');
}

function addTopic(text: string, before: readonly Topic[] = []): Topic[] {
  const match = /^([\w.-]{1,249})(?::([1-9]\d{0,3}))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Expected a topic, or a topic and its number of partitions: orders:8.');
  const [, name, partitions] = match;
  return [...before, { name: name!, ...(partitions === undefined ? {} : { partitions: Number(partitions) }) }];
}
