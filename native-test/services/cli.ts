import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { ConfigError, isToolkitError } from '../../src/errors.ts';
import { fetchArtifacts } from './artifacts.ts';
import { type KafkaCluster, startKafka } from './kafka-cluster.ts';
import { type SchemaRegistry, startApicurio } from './schema-registry.ts';

const USAGE = `Usage: npm run kafka -- [--brokers 1|3] [--no-registry] [--json FILE] [command]

Starts a real Apache Kafka and a schema registry on loopback ports, from jars that Maven fetches once into .cache/.

  (no command)           print the addresses as lines for a shell, stay until Ctrl-C or SIGTERM, then stop everything
  exec COMMAND [ARG ...] run COMMAND with the addresses in its environment, stop everything, exit with its exit code
  fetch                  only fetch the jars

  --brokers 1|3          brokers of the cluster (default 1)
  --no-registry          without the schema registry
  --json FILE            also write addresses and process ids to FILE
`;

interface CliOptions {
  readonly brokers: 1 | 3;
  readonly registry: boolean;
  readonly json: string | undefined;
  readonly command: 'stay' | 'exec' | 'fetch';
  readonly exec: readonly string[];
}

interface Services {
  readonly kafka: KafkaCluster;
  readonly registry: SchemaRegistry | undefined;
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function parseCli(args: readonly string[]): CliOptions | 'help' {
  const options = {
    brokers: { type: 'string', default: '1' },
    'no-registry': { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const loose = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  // Everything after the first positional belongs to that command, options included.
  const split = loose.tokens.find((token) => token.kind === 'positional')?.index ?? args.length;
  const { values } = parseArgs({ args: args.slice(0, split), options });
  if (values.help) return 'help';
  const [command = 'stay', ...exec] = args.slice(split);
  const brokers = Number(values.brokers);
  const faults: string[] = [];
  if (brokers !== 1 && brokers !== 3) faults.push(`Expected --brokers to be 1 or 3, got "${values.brokers}"`);
  if (command !== 'stay' && command !== 'exec' && command !== 'fetch') faults.push(`Expected exec or fetch, got "${command}"`);
  else if (command === 'exec' && exec.length === 0) faults.push('Expected a command after exec');
  else if (command !== 'exec' && exec.length > 0) faults.push(`Expected nothing after ${command}, got "${exec.join(' ')}"`);
  if (faults.length > 0) throw new ConfigError(faults);
  return { brokers, registry: !values['no-registry'], json: values.json, command, exec } as CliOptions;
}

/** Exit code of the process: the command's for `exec`, 0 for a stop by signal otherwise, 1 for a failure, 2 for wrong arguments. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseCli(args);
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (options.command === 'fetch') {
    const { kafka, registry } = await fetchArtifacts();
    process.stdout.write(`${kafka}\n${registry}\n`);
    return 0;
  }
  const services = await start(options);
  try {
    const environment = addresses(services);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(describe(services), null, 2)}\n`);
    if (options.command === 'exec') return await execute(options.exec, environment);
    process.stdout.write(environment.map(([name, value]) => `export ${name}=${value}\n`).join(''));
    process.stderr.write('Ready. Ctrl-C stops the services.\n');
    await stopSignal();
    return 0;
  } finally {
    await stop(services);
  }
}

async function start(options: CliOptions): Promise<Services> {
  const [kafka, registry] = await Promise.allSettled([
    startKafka({ brokers: options.brokers }),
    options.registry ? startApicurio() : Promise.resolve(undefined),
  ]);
  if (kafka.status === 'fulfilled' && registry.status === 'fulfilled') return { kafka: kafka.value, registry: registry.value };
  if (kafka.status === 'fulfilled') await kafka.value.close();
  if (registry.status === 'fulfilled') await registry.value?.close();
  throw kafka.status === 'rejected' ? kafka.reason : (registry as PromiseRejectedResult).reason;
}

async function stop({ kafka, registry }: Services): Promise<void> {
  await Promise.all([kafka.close(), registry?.close()]);
}

function addresses({ kafka, registry }: Services): [name: string, value: string][] {
  const lines: [string, string][] = [
    ['KAFKA_BOOTSTRAP_SERVERS', kafka.bootstrapServers],
    ['KAFKA_SASL_BOOTSTRAP_SERVERS', kafka.saslBootstrapServers],
  ];
  if (registry !== undefined) lines.push(['SCHEMA_REGISTRY_URL', registry.url]);
  return lines;
}

function describe({ kafka, registry }: Services): object {
  return {
    pid: process.pid,
    bootstrapServers: kafka.bootstrapServers,
    saslBootstrapServers: kafka.saslBootstrapServers,
    schemaRegistryUrl: registry?.url,
    schemaRegistryPid: registry?.pid,
    brokers: kafka.brokers.map(({ id, port, pid }) => ({ id, port, pid })),
  };
}

/** Runs the command to its end. A stop signal is handed on to it, and the services outlive it. */
function execute([command = '', ...args]: readonly string[], environment: readonly [string, string][]): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...Object.fromEntries(environment) } });
  const hand = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, hand);
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`Cannot run ${command}: ${error.message}\n`);
      resolve(127);
    });
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    // The brokers are unreferenced: without a timer nothing would keep the process here.
    const stay = setInterval(() => {}, 60_000);
    const end = (): void => {
      clearInterval(stay);
      resolve();
    };
    for (const signal of STOP_SIGNALS) process.on(signal, end);
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage =
    error instanceof ConfigError || (error instanceof TypeError && String(Reflect.get(error, 'code')).startsWith('ERR_PARSE_ARGS'));
  const text = isToolkitError(error) || isUsage ? (error as Error).message : error;
  process.stderr.write(`${text instanceof Error ? text.stack : text}\n${isUsage ? `\n${USAGE}` : ''}`);
  process.exitCode = isUsage ? 2 : 1;
}
