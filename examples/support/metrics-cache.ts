import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A stand-in for one pod of a metrics cache (Pushgateway): keeps the last text of each group. */
export interface MetricsCache extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** The last value pushed of a metric, of any group; undefined before the first. */
  valueOf(metric: string): number | undefined;
}

export async function startMetricsCache(): Promise<MetricsCache> {
  const groups = new Map<string, string>();
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const group = request.url ?? '';
    if (request.method === 'PUT') groups.set(group, text);
    else if (request.method === 'DELETE') groups.delete(group);
    response.writeHead(request.method === 'DELETE' ? 202 : 200).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    valueOf(metric) {
      const [line] = [...groups.values()].flatMap((text) => text.split('\n')).filter((each) => each.startsWith(`${metric}{`));
      return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
