/** A web service in a process of its own: `node web-server.js TASK`, forked by `rows/web-load.ts`. POST /records produces the body. */
import Fastify from 'fastify';
import { createProducer, jsonSerializer, MetricsManager } from 'rdkafka-toolkit';
import { closeAtSignal, kafkaPlugin, produceRoute } from 'rdkafka-toolkit/fastify';
import { endWithParent, tellParent } from './parent-channel.ts';

/** What the server is told. Everything else comes from the runtime variables. */
export interface WebTask {
  readonly topic: string;
  /** Of a request, in milliseconds. */
  readonly timeoutMs: number;
}

/** What it tells its parent. */
export type WebMessage =
  | { readonly kind: 'listening'; readonly url: string; readonly rssBytes: number }
  | { readonly kind: 'memory'; readonly rssBytes: number };

const MEMORY_MS = 100;

const { topic, timeoutMs } = JSON.parse(process.argv[2] ?? '') as WebTask;
const tell = (message: WebMessage): void => tellParent(message);
endWithParent();

const app = Fastify();
await app.register(kafkaPlugin, { producer: () => createProducer({ valueSerializer: jsonSerializer() }), metrics: new MetricsManager() });
app.post('/records', produceRoute({ topic, timeoutMs }));
const url = await app.listen({ host: '127.0.0.1', port: 0 });
setInterval(() => tell({ kind: 'memory', rssBytes: process.memoryUsage.rss() }), MEMORY_MS).unref();
tell({ kind: 'listening', url, rssBytes: process.memoryUsage.rss() });
await closeAtSignal(app);
