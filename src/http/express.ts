import type { Server } from 'node:http';
import type { Application, ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { type CloseAtSignalOptions, closeAtStop, IdleConnections } from './close-at-signal.ts';
import { PROBLEM_TYPE } from './problem.ts';
import { type ProduceRouteOptions, WebApp, type WebAppOptions } from './web-app.ts';

declare global {
  namespace Express {
    interface Locals {
      /** The producer, the metrics and the probes of the app: `req.app.locals.kafka`. */
      kafka: WebApp;
    }
  }
}

/**
 * Gives an Express app (4 or 5) a producer and a metrics manager (`app.locals.kafka`), `/metrics`, `/live` and `/ready`. Call it before the
 * routes are made, and `app.use(kafkaErrors)` after them.
 *
 * @example
 * const app = express().use(express.json());
 * await useKafka(app, { producer: () => createAvroProducer({ valueSchema }), metrics });
 * app.post('/orders', produceRoute({ topic: 'orders', key: (request) => request.body.id }));
 * app.use(kafkaErrors);
 * await closeAtSignal(app, app.listen(8080));
 */
export async function useKafka(app: Application, options: WebAppOptions): Promise<WebApp> {
  const kafka = await WebApp.open(options);
  app.locals.kafka = kafka;
  for (const { path, handler } of kafka.probes(options.paths)) {
    app.get(path, (request, response) => void handler(request, response));
  }
  return kafka;
}

const kafkaOf = (request: Request): WebApp => request.app.locals.kafka;

/**
 * Counts every error of the routes before it, and answers: HTTP errors keep their status, the toolkit's have theirs, all others are a 500
 * without a word about the inside. Where an answer is under way already, Express ends it.
 */
export const kafkaErrors: ErrorRequestHandler = (error: unknown, request, response, next) => {
  const kafka = kafkaOf(request);
  kafka.metrics.incMessageErrors(error);
  if (response.headersSent) {
    next(error);
    return;
  }
  const { problem, retryAfterSeconds } = kafka.problemOf(error);
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
  response.status(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem));
};

/**
 * A route that makes a record of each request. 202, with where the record is, once the broker has acknowledged it; 400 for a body that does
 * not fit the schema, naming the field; 503 with `Retry-After` when the queue is full or no broker acknowledges in time.
 */
export function produceRoute<K = never, V = never>(options: ProduceRouteOptions<Request, K, V>): RequestHandler {
  return (request: Request, response: Response, next): void => {
    // Express 4 does not wait for promises of handlers.
    kafkaOf(request)
      .produce(request, options)
      .then(({ topic, partition, offset }) => void response.status(202).json({ topic, partition, offset }))
      .catch(next);
  };
}

/**
 * Closes the app at SIGTERM or SIGINT; call it when the server listens. `/ready` says no, no connection is taken any more, requests under way are answered, the producer
 * is flushed. Resolves when that is done.
 *
 * @throws ShutdownError when it was not done in time; a process that lets it through exits with code 1
 * @throws what went wrong while it closed
 */
export function closeAtSignal(app: Application, server: Server, options: CloseAtSignalOptions = {}): Promise<void> {
  const kafka = app.locals.kafka;
  const connections = new IdleConnections(server);
  const close = async (): Promise<void> => {
    connections.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    connections.stop();
    await kafka.close();
  };
  return closeAtStop({ begin: () => kafka.beginClose(), close }, options);
}
