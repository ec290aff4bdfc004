import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchArtifacts, repositoryRoot } from './artifacts.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { accepts, freePorts } from './ports.ts';
import { runCommand } from './run-command.ts';
import { makeRunDirectory, type RunDirectory, runMark } from './run-directory.ts';
import {
  type ListenerName,
  type ListenerPorts,
  listenerNames,
  type ServerProperties,
  saslUser,
  scramMechanisms,
  serverProperties,
} from './server-properties.ts';
import { ServiceProcess } from './service-process.ts';

const READY_TIMEOUT_MS = 60_000;
const READY_LINE = 'Kafka Server started';

export interface KafkaOptions {
  /** @default 1 */
  readonly brokers?: 1 | 3;
  /** Also listens by TLS, with certificates made for this cluster (needs the openssl command). @default false */
  readonly tls?: boolean;
  /** Broker setting `auto.create.topics.enable`. @default false */
  readonly autoCreateTopics?: boolean;
  /** 16 bytes in base64url. @default random */
  readonly clusterId?: string;
  /** Settings of `server.properties` laid over those of the launcher, for every broker. @default {} */
  readonly serverProperties?: ServerProperties;
}

/** One broker of a {@link KafkaCluster}. It keeps its ports and its data over a restart. */
export interface Broker {
  readonly id: number;
  /** Port of the PLAINTEXT listener. */
  readonly port: number;
  /** Of the present process, or of the last one while the broker is down. */
  readonly pid: number;
  readonly running: boolean;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM, a controlled shutdown; after 15 s SIGKILL. */
  stop(): Promise<void>;
  /** Starts it again (stops it first if it runs) and waits until it serves. After a kill that takes the broker session, 3 s. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing is answered. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

export interface KafkaCluster extends AsyncDisposable {
  /** Comma-separated `host:port` of every broker, without security. */
  readonly bootstrapServers: string;
  /** The same brokers by SASL_PLAINTEXT: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 with `saslUser`. */
  readonly saslBootstrapServers: string;
  /** By TLS: without a client certificate, with one, and with SASL. Undefined unless {@link KafkaOptions.tls}. */
  readonly tls:
    | {
        readonly certificates: Certificates;
        readonly bootstrapServers: string;
        readonly mutualBootstrapServers: string;
        readonly saslBootstrapServers: string;
      }
    | undefined;
  readonly brokers: readonly Broker[];
  /** Kills every broker and removes the data. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a real Apache Kafka (KRaft, every node broker and controller) on loopback ports, and resolves when all brokers serve.
 * Topics have as many replicas as there are brokers, and need all but one of them in sync.
 * @throws {ServiceError} when Java or Maven is missing or a broker does not come up, with the end of its log.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaCluster> {
  const { kafka } = await fetchArtifacts();
  const count = options.brokers ?? 1;
  const names = listenerNames(options.tls ?? false);
  const nodes = groupPorts(await freePorts(count * names.length), names);
  const run = makeRunDirectory();
  const certificates = options.tls ? await makeCertificates(run.path) : undefined;
  const clusterId = options.clusterId ?? randomBytes(16).toString('base64url');
  const brokers = nodes.map((ports, index) => {
    const properties = writeProperties(run, index + 1, nodes, options, certificates);
    return makeBroker(index + 1, ports, run, kafka, properties);
  });
  const close = async (): Promise<void> => {
    // The data is thrown away, so a controlled shutdown would only cost time (and hang without a quorum).
    await Promise.all(brokers.map((broker) => broker.kill()));
    run.remove();
  };
  try {
    await Promise.all(nodes.map((_, index) => format(kafka, run, clusterId, index + 1)));
    const starts = await Promise.allSettled(brokers.map((broker) => broker.restart()));
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = (listener: keyof ListenerPorts): string => nodes.map((ports) => `127.0.0.1:${ports[listener]}`).join(',');
  return {
    bootstrapServers: addresses('PLAINTEXT'),
    saslBootstrapServers: addresses('SASL'),
    tls: certificates && {
      certificates,
      bootstrapServers: addresses('TLS'),
      mutualBootstrapServers: addresses('MTLS'),
      saslBootstrapServers: addresses('SASLTLS'),
    },
    brokers,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function makeBroker(id: number, ports: ListenerPorts, run: RunDirectory, kafka: string, properties: string): Broker {
  const service = new ServiceProcess({
    name: `broker-${id}`,
    command: 'java',
    args: [
      '-Xmx400m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      `-Dlog4j2.configurationFile=${join(repositoryRoot, 'native-test/services/log4j2.properties')}`,
      runMark(run.path),
      '-cp',
      join(kafka, '*'),
      'kafka.Kafka',
      properties,
    ],
    directory: run.path,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: async (log) => log.includes(READY_LINE) && (await accepts(ports.PLAINTEXT)) && (await accepts(ports.SASL)),
  });
  return {
    id,
    port: ports.PLAINTEXT,
    get pid() {
      return service.pid;
    },
    get running() {
      return service.running;
    },
    kill: () => service.signal('SIGKILL'),
    stop: () => service.signal('SIGTERM'),
    async restart() {
      await service.signal('SIGTERM');
      await service.start();
    },
    pause: () => service.pause(),
    resume: () => service.resume(),
  };
}

function writeProperties(
  run: RunDirectory,
  id: number,
  nodes: readonly ListenerPorts[],
  options: KafkaOptions,
  certificates: Certificates | undefined,
): string {
  const dataDirectory = join(run.path, `data-${id}`);
  mkdirSync(dataDirectory);
  const file = propertiesFile(run, id);
  const overrides = options.serverProperties ?? {};
  const autoCreateTopics = options.autoCreateTopics ?? false;
  writeFileSync(file, serverProperties({ id, nodes, dataDirectory, autoCreateTopics, certificates, overrides }));
  return file;
}

function propertiesFile(run: RunDirectory, id: number): string {
  return join(run.path, `server-${id}.properties`);
}

/** Gives a node's data directory its cluster id (which may begin with a dash), its metadata version and the SCRAM user. */
function format(kafka: string, run: RunDirectory, clusterId: string, id: number): Promise<void> {
  const user = `[name=${saslUser.username},password=${saslUser.password}]`;
  const scram = scramMechanisms.flatMap((mechanism) => ['--add-scram', `${mechanism}=${user}`]);
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(kafka, '*')];
  const args = [...jvm, 'kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '-c', propertiesFile(run, id), ...scram];
  return runCommand('java', args, {
    purpose: `format the storage of broker ${id}`,
    missingHint: 'Kafka 4 needs Java 17 or newer.',
    timeoutMs: READY_TIMEOUT_MS,
  });
}

function groupPorts(ports: readonly number[], names: readonly ListenerName[]): ListenerPorts[] {
  return Array.from({ length: ports.length / names.length }, (_, node) => {
    const own = names.map((name, index) => [name, ports[node * names.length + index]]);
    return Object.fromEntries(own) as ListenerPorts;
  });
}
