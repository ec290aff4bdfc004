import type { AdminHandle } from '../binding/admin-handle.ts';
import type { Metadata } from '../binding/node-rdkafka.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';

/** A connection for questions about brokers and topics, and the first answer. Dispose of it. */
export interface Admin extends AsyncDisposable {
  readonly handle: AdminHandle;
  readonly bootstrapServers: string;
  readonly metadata: Metadata;
}

/** Connects to `KAFKA_BOOTSTRAP_SERVERS`. @throws ConfigError | ConnectError */
export async function connectAdmin(
  vars: RuntimeVars = parseRuntimeVars(),
  timeoutMs: number = vars.CONNECT_TIMEOUT_SECONDS * 1000,
): Promise<Admin> {
  const { AdminHandle } = await import('../binding/admin-handle.ts');
  const { producerSettings } = await import('../config/producer-config.ts');
  const { routeConfig } = await import('../config/librdkafka-config.ts');
  const { checkTlsFiles } = await import('../config/security.ts');
  checkTlsFiles(vars);
  const settings = producerSettings(vars);
  const bootstrapServers = String(settings['bootstrap.servers']);
  const handle = new AdminHandle(routeConfig('producer', settings));
  const metadata = await handle.connect(bootstrapServers, timeoutMs);
  return { handle, bootstrapServers, metadata, [Symbol.asyncDispose]: () => handle[Symbol.asyncDispose]() };
}
