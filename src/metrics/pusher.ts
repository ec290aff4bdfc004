import { Resolver } from 'node:dns';
import { hostname } from 'node:os';
import { ConfigError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { PodAddresses } from './pod-addresses.ts';
import { PodPusher, type PushTarget } from './pod-pusher.ts';
import { groupPath } from './pod-request.ts';
import { PushCounts, type PushStatus } from './push-counts.ts';

/** Options of {@link MetricsPusher}. */
export interface MetricsPusherOptions {
  /**
   * Tells processes of one pod apart: the `instance` of the group that a push replaces. Two processes of one job and instance overwrite
   * each other. @default the job
   */
  readonly instance?: string | undefined;
  /** Deadline for one pod, connecting included, in milliseconds. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** Pods pushed to at once. @default 16 */
  readonly concurrency?: number | undefined;
  /** 4 or 6: only such addresses of the service. @default 0, both */
  readonly family?: 0 | 4 | 6 | undefined;
  /** How long the last known pods are pushed to while the DNS fails or knows none, in milliseconds. @default 300000 */
  readonly keepAddressesMs?: number | undefined;
  /** DNS servers to ask, `address` or `address:port`, and nobody else. @default the system's, then its own look-up */
  readonly dnsServers?: readonly string[] | undefined;
  /** Remove this process's group from every pod when pushing stops; its last values are gone then. @default false */
  readonly deleteOnStop?: boolean | undefined;
}

/** Bounds of a push that is made by hand; only those of the interval leave pods out. */
const SINGLE_PUSH_INTERVAL_MS = 10_000;

/**
 * Where a service pushes its metrics: a metrics cache (Pushgateway) of several pods behind a headless service. Each push goes to every
 * pod, so that one of them is enough. Plain HTTP; redirects are not followed.
 *
 * @throws ConfigError with every fault of the arguments
 * @example
 * const metricsPusher = new MetricsPusher(hostname, 'metrics-cache', 8080, 9091);
 * const metrics = new MetricsManager({ app: 'orders', job: hostname, metricsPusher });
 */
export class MetricsPusher {
  readonly job: string;
  readonly serviceName: string;
  /** Nothing is pushed to it: a service picks one of its pods. */
  readonly servicePort: number;
  readonly podPort: number;
  readonly instance: string;
  readonly deleteOnStop: boolean;
  /** @internal */
  readonly target: PushTarget;

  /**
   * @param job name of the pod that pushes
   * @param serviceName headless service of the metrics cache, or an IP address
   * @param servicePort port of the service itself, as the original takes it
   * @param podPort port of each pod
   */
  constructor(job: string, serviceName: string, servicePort: number, podPort: number, options: MetricsPusherOptions = {}) {
    const faults = [
      ...(job === '' ? ['Expected the job of a MetricsPusher not to be empty'] : []),
      ...(serviceName === '' || /[\s/]/.test(serviceName)
        ? [`Expected the service name of a MetricsPusher to be a host name or an IP address, got "${serviceName}"`]
        : []),
      ...serverFaults(options.dnsServers),
      ...wholeNumber('service port', servicePort, 1, 65_535),
      ...wholeNumber('pod port', podPort, 1, 65_535),
      ...wholeNumber('timeoutMs', options.timeoutMs ?? 5_000, 1, 2_147_483_647),
      ...wholeNumber('concurrency', options.concurrency ?? 16, 1, 1_024),
      ...wholeNumber('keepAddressesMs', options.keepAddressesMs ?? 300_000, 0, Number.MAX_SAFE_INTEGER),
    ];
    if (faults.length > 0) throw new ConfigError(faults);
    this.job = job;
    this.serviceName = serviceName;
    this.servicePort = servicePort;
    this.podPort = podPort;
    this.instance = options.instance ?? job;
    this.deleteOnStop = options.deleteOnStop ?? false;
    this.target = Object.freeze({
      host: serviceName,
      podPort,
      path: groupPath({ job, instance: this.instance }),
      timeoutMs: options.timeoutMs ?? 5_000,
      concurrency: options.concurrency ?? 16,
      family: options.family ?? 0,
      keepAddressesMs: options.keepAddressesMs ?? 300_000,
      dnsServers: options.dnsServers,
    });
  }

  /**
   * One push of a text in format 0.0.4 to every pod, from this thread; `startPushingMetrics` pushes from its own. Resolves when each
   * pod has answered or failed.
   */
  async push(text: string): Promise<PushStatus> {
    const counts = new PushCounts();
    const pods = new PodPusher(this.target, SINGLE_PUSH_INTERVAL_MS, counts);
    try {
      pods.push(await new PodAddresses(this.target).resolve(), Buffer.from(text, 'utf8'));
      await pods.idle();
    } finally {
      pods.close();
    }
    return counts.status!;
  }
}

/**
 * The pusher of the runtime variables: `HOSTNAME` (else the machine's own name), `METRICS_SERVICE_NAME`, `METRICS_SERVICE_PORT`,
 * `METRICS_POD_PORT`; undefined under `DO_METRICS_PUSHING=false`.
 *
 * @throws ConfigError when `METRICS_SERVICE_NAME` is not set
 */
export function createMetricsPusher(vars: RuntimeVars = parseRuntimeVars(), options: MetricsPusherOptions = {}): MetricsPusher | undefined {
  const { HOSTNAME: job = hostname(), METRICS_SERVICE_NAME: serviceName, METRICS_SERVICE_PORT, METRICS_POD_PORT } = vars;
  if (!vars.DO_METRICS_PUSHING) return undefined;
  if (serviceName === undefined) {
    throw new ConfigError(['Expected METRICS_SERVICE_NAME to be set to push metrics, or DO_METRICS_PUSHING=false']);
  }
  return new MetricsPusher(job, serviceName, METRICS_SERVICE_PORT, METRICS_POD_PORT, options);
}

function serverFaults(servers: readonly string[] | undefined): string[] {
  try {
    if (servers !== undefined) new Resolver().setServers(servers);
    return [];
  } catch {
    return [`Expected the dnsServers of a MetricsPusher to be IP addresses, with or without a port, got ${JSON.stringify(servers)}`];
  }
}

function wholeNumber(name: string, value: number, min: number, max: number): string[] {
  if (Number.isInteger(value) && value >= min && value <= max) return [];
  return [`Expected the ${name} of a MetricsPusher to be a whole number from ${min} to ${max}, got ${value}`];
}
