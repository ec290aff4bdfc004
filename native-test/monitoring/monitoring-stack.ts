import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../services/ports.ts';
import { makeRunDirectory } from '../services/run-directory.ts';
import { ServiceProcess } from '../services/service-process.ts';
import { DnsServer } from '../support/dns-server.ts';
import { programNamed } from './programs.ts';

const READY_TIMEOUT_MS = 30_000;

export const examples: URL = new URL('../../../examples/monitoring/', import.meta.url);

/** A sample of an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Two Pushgateways at one port of 127.0.0.1 and 127.0.0.2, a DNS server that names both, and a Prometheus that scrapes both. */
export class MonitoringStack implements AsyncDisposable {
  readonly podPort: number;
  readonly pods: readonly [ServiceProcess, ServiceProcess];
  readonly dns: DnsServer;
  readonly #prometheusPort: number;
  readonly #prometheus: ServiceProcess;
  readonly #remove: () => void;

  private constructor(dns: DnsServer, podPort: number, prometheusPort: number) {
    const { path, remove } = makeRunDirectory();
    this.dns = dns;
    this.podPort = podPort;
    this.#prometheusPort = prometheusPort;
    this.#remove = remove;
    this.pods = [pushgateway(path, '127.0.0.1', podPort), pushgateway(path, '127.0.0.2', podPort)];
    this.#prometheus = prometheus(path, prometheusPort, podPort);
  }

  static async start(): Promise<MonitoringStack> {
    const [podPort, prometheusPort] = (await freePorts(2)) as [number, number];
    const stack = new MonitoringStack(await DnsServer.start({ a: ['127.0.0.1', '127.0.0.2'] }), podPort, prometheusPort);
    try {
      await Promise.all([...stack.pods, stack.#prometheus].map((service) => service.start()));
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  /** What Prometheus answers to a query now. */
  async query(expression: string): Promise<Sample[]> {
    const url = new URL(`http://127.0.0.1:${this.#prometheusPort}/api/v1/query`);
    url.searchParams.set('query', expression);
    const answer = (await (await fetch(url)).json()) as {
      readonly status: string;
      readonly error?: string;
      readonly data?: { readonly result: readonly { readonly metric: Sample['metric']; readonly value: readonly [number, string] }[] };
    };
    if (answer.data === undefined) throw new TypeError(`Prometheus refuses ${expression}: ${answer.error}`);
    return answer.data.result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.pods, this.#prometheus].map((service) => service.signal('SIGTERM')));
    await this.dns[Symbol.asyncDispose]();
    this.#remove();
  }
}

/** Without persistence: what a pod read from its file would be older than what it showed before, a counter that goes backwards. */
function pushgateway(directory: string, address: string, port: number): ServiceProcess {
  return new ServiceProcess({
    name: `pushgateway-${address}`,
    command: programNamed('pushgateway'),
    args: [`--web.listen-address=${address}:${port}`, '--persistence.file='],
    directory,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: () => answers(`http://${address}:${port}/-/ready`),
  });
}

/** The example's own configuration, with the pods' addresses in place of the name of a service, and scrapes every second. */
function prometheus(directory: string, port: number, podPort: number): ServiceProcess {
  const config = readFileSync(new URL('prometheus.yml', examples), 'utf8')
    .replace(
      / {4}dns_sd_configs:\n(?: {6}.*\n)+/,
      `    static_configs:\n      - targets: ['127.0.0.1:${podPort}', '127.0.0.2:${podPort}']\n`,
    )
    .replace('scrape_interval: 15s', 'scrape_interval: 1s');
  const data = join(directory, 'prometheus');
  mkdirSync(data);
  const file = join(directory, 'prometheus.yml');
  writeFileSync(file, config);
  writeFileSync(join(directory, 'rules.yml'), readFileSync(new URL('rules.yml', examples)));
  return new ServiceProcess({
    name: 'prometheus-server',
    command: programNamed('prometheus'),
    args: [`--config.file=${file}`, `--storage.tsdb.path=${data}`, `--web.listen-address=127.0.0.1:${port}`],
    directory,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: () => answers(`http://127.0.0.1:${port}/-/ready`),
  });
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
