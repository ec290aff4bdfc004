import { Agent, type ClientRequest, request } from 'node:http';
import { contentTypes } from './exposition.ts';

/** Longest answer that is read; a Pushgateway's is empty or a line. */
const ANSWER_MAX_BYTES = 65_536;

/** A pod of the metrics cache, and the group of metrics that is this process's there. */
export interface PodRequest {
  readonly address: string;
  readonly port: number;
  readonly path: string;
  /** The whole exchange, connecting included. */
  readonly timeoutMs: number;
  readonly agent: Agent;
}

/** Undefined when the pod accepted it; else why not: `timeout`, `http_503`, `econnrefused` … */
export type PodFailure = string | undefined;

/** Connections are kept: a push every few seconds must not open one each time. */
export function pushAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
}

/** Replaces the group's metrics by those of `body` (text format 0.0.4). Never rejects. */
export function putMetrics(pod: PodRequest, body: Buffer): Promise<PodFailure> {
  return exchange(pod, 'PUT', body);
}

/** Removes the group. Never rejects. */
export function deleteMetrics(pod: PodRequest): Promise<PodFailure> {
  return exchange(pod, 'DELETE', undefined);
}

/** The Pushgateway's path of a group. What a path cannot hold goes in base64. */
export function groupPath(grouping: Readonly<Record<string, string>>): string {
  const parts = Object.entries(grouping).map(([label, value]) => {
    if (value === '') return `${label}@base64/=`;
    if (!value.includes('/')) return `${label}/${encodeURIComponent(value)}`;
    return `${label}@base64/${Buffer.from(value, 'utf8').toString('base64url')}`;
  });
  return `/metrics/${parts.join('/')}`;
}

function exchange(
  { address, port, path, timeoutMs, agent }: PodRequest,
  method: 'PUT' | 'DELETE',
  body: Buffer | undefined,
): Promise<PodFailure> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { 'content-type': contentTypes.text, 'content-length': body.length };
    const sent: ClientRequest = request({ host: address, port, path, method, headers, agent });
    const timer = setTimeout(() => settle('timeout'), timeoutMs);
    const settle = (failure: PodFailure): void => {
      clearTimeout(timer);
      // Whatever the pod still has to say is not waited for.
      if (failure !== undefined) sent.destroy();
      resolve(failure);
    };
    sent.once('response', (response) => {
      const status = response.statusCode ?? 0;
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_MAX_BYTES) settle('answer_too_large');
      });
      response.once('error', () => settle('connection'));
      response.once('end', () => settle(status >= 200 && status < 300 ? undefined : `http_${status}`));
    });
    // After the deadline destroying the request raises this again; then it says nothing new.
    sent.on('error', (error: NodeJS.ErrnoException) => settle(error.code?.toLowerCase() ?? 'connection'));
    sent.end(body);
  });
}
