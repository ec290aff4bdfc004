import { join } from 'node:path';
import { fetchArtifacts } from './artifacts.ts';
import { freePorts } from './ports.ts';
import { makeRunDirectory, runMark } from './run-directory.ts';
import { ServiceProcess } from './service-process.ts';

const READY_TIMEOUT_MS = 60_000;
const RUNNER = 'apicurio-registry-app-2.6.13.Final-runner.jar';

export interface SchemaRegistry extends AsyncDisposable {
  /** Base address of the Confluent API: `GET {url}/subjects`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Kills the registry; its schemas were in memory only. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts an Apicurio registry that keeps its schemas in memory, and resolves when it reports itself ready.
 * @throws {ServiceError} when Java or Maven is missing or the registry does not come up, with the end of its log.
 */
export async function startApicurio(): Promise<SchemaRegistry> {
  const { registry } = await fetchArtifacts();
  const [port = 0] = await freePorts(1);
  const run = makeRunDirectory();
  const service = new ServiceProcess({
    name: 'schema-registry',
    command: 'java',
    args: [
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-Dquarkus.http.host=127.0.0.1',
      `-Dquarkus.http.port=${port}`,
      runMark(run.path),
      '-jar',
      join(registry, RUNNER),
    ],
    directory: run.path,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: () => isReady(port),
  });
  const close = async (): Promise<void> => {
    await service.signal('SIGKILL');
    run.remove();
  };
  try {
    await service.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}/apis/ccompat/v7`, port, pid: service.pid, close, [Symbol.asyncDispose]: close };
}

async function isReady(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
