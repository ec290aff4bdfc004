import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import express5, { type Application, type Request } from 'express';
import Fastify, { type FastifyRequest } from 'fastify';
import * as forExpress from 'rdkafka-toolkit/express';
import * as forFastify from 'rdkafka-toolkit/fastify';

/** What of a request the routes of these tests look at. */
export interface AnyRequest {
  readonly body: unknown;
  readonly query: unknown;
}

/** A web app that listens. */
export interface RunningApp {
  readonly url: string;
  readonly kafka: forExpress.WebApp;
  close(): Promise<void>;
  /** Settles when it was closed by `stop`. */
  closeAt(stop: AbortSignal, options?: { readonly drainMs?: number; readonly timeoutMs?: number }): Promise<void>;
}

export type Options = forExpress.WebAppOptions;
export type RouteOptions = forExpress.ProduceRouteOptions<AnyRequest, never, never>;

/** Routes: `/orders` produces, `/teapot` throws an HTTP error, `/bug` any other, `/slow` answers after a while. */
export interface Routes {
  readonly produce: RouteOptions;
  readonly slowMs?: number;
}

export interface Framework {
  readonly name: string;
  start(options: Options, routes: Routes): Promise<RunningApp>;
}

const teapot = (): Error => Object.assign(new Error('short and stout'), { statusCode: 418 });
const bug = (): Error => new TypeError('canary: password of the database');

async function startFastify(options: Options, { produce, slowMs = 0 }: Routes): Promise<RunningApp> {
  const app = Fastify({ bodyLimit: 10_000 });
  await app.register(forFastify.kafkaPlugin, options);
  app.post('/orders', forFastify.produceRoute<FastifyRequest>(produce as forFastify.ProduceRouteOptions<FastifyRequest, never, never>));
  app.get('/teapot', async () => {
    throw teapot();
  });
  app.get('/bug', async () => {
    throw bug();
  });
  app.get('/slow', async () => {
    await new Promise((resolve) => setTimeout(resolve, slowMs));
    return { slow: true };
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    kafka: app.kafka,
    close: () => app.close(),
    closeAt: (signal, rest) => forFastify.closeAtSignal(app, { ...rest, signal, handleSignals: false }),
  };
}

async function startExpress(make: typeof express5, options: Options, { produce, slowMs = 0 }: Routes): Promise<RunningApp> {
  const app: Application = make();
  app.use(make.json({ limit: 10_000 }));
  const kafka = await forExpress.useKafka(app, options);
  app.post('/orders', forExpress.produceRoute(produce as forExpress.ProduceRouteOptions<Request, never, never>));
  app.get('/teapot', (_request, _response, next) => next(teapot()));
  app.get('/bug', () => {
    throw bug();
  });
  app.get('/slow', (_request, response) => void setTimeout(() => response.json({ slow: true }), slowMs));
  app.use(forExpress.kafkaErrors);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = new AbortController();
  const closeAt: RunningApp['closeAt'] = (signal, rest) => forExpress.closeAtSignal(app, server, { ...rest, signal, handleSignals: false });
  const ended = closeAt(stop.signal);
  // A test that closes it otherwise waits for that.
  ended.catch(() => undefined);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    kafka,
    close() {
      stop.abort();
      return server.listening ? ended : Promise.resolve();
    },
    closeAt,
  };
}

/** Its types are those of 5, as far as they are used here. */
const express4 = createRequire(import.meta.url)('express4') as typeof express5;

/** Each behaves alike. */
export const frameworks: readonly Framework[] = [
  { name: 'Fastify 5', start: startFastify },
  { name: 'Express 5', start: (options, routes) => startExpress(express5, options, routes) },
  { name: 'Express 4', start: (options, routes) => startExpress(express4, options, routes) },
];
