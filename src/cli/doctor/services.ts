import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { getSslContext } from '../../config/security.ts';
import { ConfigError, isToolkitError, SchemaRegistryError } from '../../errors.ts';
import type { RuntimeVars } from '../../runtime-vars.ts';
import { connectAdmin } from '../admin.ts';
import { type Finding, fault, off, ok, warning } from './finding.ts';

/** Clocks may differ so much, in milliseconds, before it is said; HTTP tells whole seconds. */
const CLOCK_TOLERANCE_MS = 2_500;

/** Whether brokers answer, take the sign-in, and know the topics to consume. */
export async function findBroker(vars: RuntimeVars, timeoutMs: number): Promise<Finding> {
  const name = 'broker';
  if (vars.KAFKA_BOOTSTRAP_SERVERS.length === 0) return off(name, 'KAFKA_BOOTSTRAP_SERVERS is not set');
  try {
    const startMs = performance.now();
    await using admin = await connectAdmin(vars, timeoutMs);
    const took = Math.round(performance.now() - startMs);
    const { brokers, topics } = await admin.handle.metadata(timeoutMs);
    const missing = vars.CONSUME_TOPICS.filter((topic) => !topic.startsWith('^') && !topics.some((each) => each.name === topic));
    if (missing.length > 0) {
      return fault(
        name,
        `answered; unknown topics of CONSUME_TOPICS: ${missing.join(', ')}`,
        'Create them: rdkafka-toolkit topics create.',
      );
    }
    const detail = `${brokers.length} at ${admin.bootstrapServers}, ${topics.length} topics, answered in ${took} ms`;
    return vars.KAFKA_BOOTSTRAP_SERVERS.length === 1 && brokers.length > 1
      ? warning(name, detail, 'Name a second broker in KAFKA_BOOTSTRAP_SERVERS: a client cannot start while the only one is down.')
      : ok(name, detail);
  } catch (error) {
    if (!isToolkitError(error)) throw error;
    const hint =
      error instanceof ConfigError ? 'rdkafka-toolkit vars shows what is set.' : 'rdkafka-toolkit broker runs one to develop against.';
    return fault(name, error.message, hint);
  }
}

/** Whether the schema registry answers and takes the credentials. */
export async function findRegistry(vars: RuntimeVars, timeoutMs: number): Promise<Finding> {
  const name = 'schema registry';
  if (vars.SCHEMA_REGISTRY_URL === undefined) return off(name, 'SCHEMA_REGISTRY_URL is not set');
  const { createSchemaRegistry } = await import('../../avro/schema-registry.ts');
  const registry = createSchemaRegistry({ vars, timeoutMs });
  try {
    // Asking for what is hardly there is answered by whoever is a registry, and needs no right to list.
    await registry.latest('rdkafka-toolkit-doctor');
  } catch (error) {
    if (!saysUnknown(error))
      return fault(name, (error as Error).message, 'Check SCHEMA_REGISTRY_URL, its path (Apicurio: /apis/ccompat/v7) and its credentials.');
  } finally {
    registry.close();
  }
  return ok(name, `answers at ${registry.url}`);
}

/** Whether it is a registry that says so, not some web server that knows no such page. */
function saysUnknown(error: unknown): boolean {
  if (!(error instanceof SchemaRegistryError) || error.status !== 404) return false;
  return error.registryCode !== undefined || /subject\b.*not found|no (artifact|subject|version)\b/i.test(error.message);
}

/** To how many pods metrics would be pushed. */
export async function findMetrics(vars: RuntimeVars, timeoutMs: number): Promise<Finding> {
  const name = 'metrics service';
  const { DO_METRICS_PUSHING, METRICS_SERVICE_NAME: host } = vars;
  if (!DO_METRICS_PUSHING) return off(name, 'DO_METRICS_PUSHING=false');
  if (host === undefined) return off(name, 'METRICS_SERVICE_NAME is not set');
  const { PodAddresses } = await import('../../metrics/pod-addresses.ts');
  const pods = new PodAddresses({ host, family: 0, keepAddressesMs: 0, timeoutMs, dnsServers: undefined });
  const { addresses, failure } = await pods.resolve();
  if (addresses.length === 0) {
    return fault(
      name,
      `${host} resolves to no address (${failure ?? 'none'})`,
      'Check METRICS_SERVICE_NAME: the name of a headless service with ready pods.',
    );
  }
  return ok(
    name,
    `${host}: ${addresses.length} pod${addresses.length === 1 ? '' : 's'} (${addresses.join(', ')}), port ${vars.METRICS_POD_PORT}`,
  );
}

/** This clock against the registry's: Kafka does not tell its own. */
export async function findClock(vars: RuntimeVars, timeoutMs: number): Promise<Finding> {
  const name = 'clock';
  if (vars.SCHEMA_REGISTRY_URL === undefined) return off(name, 'nothing to compare with: SCHEMA_REGISTRY_URL is not set');
  const sentMs = Date.now();
  const date = await dateOf(vars.SCHEMA_REGISTRY_URL, vars, timeoutMs).catch(() => undefined);
  if (date === undefined) return off(name, 'the schema registry does not tell the time');
  const differenceMs = Date.parse(date) + 500 - (sentMs + Date.now()) / 2;
  const detail = `${Math.abs(Math.round(differenceMs / 100) / 10)} s ${differenceMs < 0 ? 'ahead of' : 'behind'} the schema registry's`;
  if (Math.abs(differenceMs) <= CLOCK_TOLERANCE_MS) return ok(name, "agrees with the schema registry's");
  return warning(name, detail, 'Delays of retries, TIMESTAMP_OFFSET_MINUTES and tokens go by clocks: synchronise them (NTP).');
}

/** The Date header of whatever answer. */
function dateOf(url: string, vars: RuntimeVars, timeoutMs: number): Promise<string | undefined> {
  const secure = url.startsWith('https:');
  const target = new URL(url);
  target.username = '';
  target.password = '';
  return new Promise((resolve, reject) => {
    const options = { method: 'GET', timeout: timeoutMs, ...(secure ? getSslContext(vars) : {}) };
    const request = (secure ? httpsRequest : httpRequest)(target, options, (response) => {
      response.destroy();
      resolve(response.headers.date);
    });
    request.once('error', reject).once('timeout', () => request.destroy());
    request.end();
  });
}
