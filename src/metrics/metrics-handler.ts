import type { IncomingMessage, ServerResponse } from 'node:http';
import { contentTypes } from './exposition.ts';
import type { MetricsManager } from './manager.ts';

/** A handler of node:http, and of every framework that takes one. */
export type MetricsHandler = (request: Pick<IncomingMessage, 'headers' | 'method'>, response: ServerResponse) => Promise<void>;

/**
 * Serves a manager's metrics to a Prometheus that scrapes, in place of pushing or beside it. Text format 0.0.4; OpenMetrics with
 * exemplars for who asks for it, when the manager has exemplars (`exemplarLabels`). Never rejects.
 *
 * @example
 * createServer(metricsHandler(metrics)).listen(9464);
 */
export function metricsHandler(manager: MetricsManager): MetricsHandler {
  return async ({ headers, method }, response) => {
    if (method !== undefined && method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    const asked = /application\/openmetrics-text/.test(headers.accept ?? '');
    const format = asked && manager.hasExemplars ? 'openmetrics' : 'text';
    try {
      const body = await manager.text(format);
      response.writeHead(200, { 'content-type': contentTypes[format], vary: 'accept' }).end(method === 'HEAD' ? undefined : body);
    } catch {
      // What a custom metric threw is not for whoever asks.
      response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' }).end('Metrics cannot be collected\n');
    }
  };
}
