import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify';
import fastifyPlugin from 'fastify-plugin';
import { type CloseAtSignalOptions, closeAtStop, IdleConnections } from './close-at-signal.ts';
import { PROBLEM_TYPE } from './problem.ts';
import { type ProduceRouteOptions, WebApp, type WebAppOptions } from './web-app.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** The producer, the metrics and the probes of the app. */
    readonly kafka: WebApp;
  }
}

const plugin: FastifyPluginAsync<WebAppOptions> = async (app, options) => {
  const kafka = await WebApp.open(options);
  app.decorate('kafka', kafka);
  app.addHook('onError', async (_request, _reply, error) => {
    kafka.metrics.incMessageErrors(error);
  });
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(kafka, error, request, reply));
  for (const { path, handler } of kafka.probes(options.paths)) {
    app.get(path, { logLevel: 'warn' }, async (request, reply) => {
      reply.hijack();
      await handler(request.raw, reply.raw);
    });
  }
  const connections = new IdleConnections(app.server);
  app.addHook('preClose', async () => {
    kafka.beginClose();
    connections.close();
  });
  app.addHook('onClose', async () => {
    connections.stop();
    await kafka.close();
  });
};

function answerError(kafka: WebApp, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { problem, retryAfterSeconds } = kafka.problemOf(error);
  if (problem.status >= 500) request.log.error(error);
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
  return reply.code(problem.status).type(PROBLEM_TYPE).send(problem);
}

/**
 * A Fastify 5 plugin: a producer and a metrics manager in the app (`app.kafka`), every error counted and answered cleanly, `/metrics`,
 * `/live` and `/ready`, and a close that answers what is under way before it flushes.
 *
 * @example
 * await app.register(kafkaPlugin, { producer: () => createAvroProducer({ valueSchema }), metrics });
 * app.post('/orders', produceRoute({ topic: 'orders', key: (request) => request.body.id }));
 */
export const kafkaPlugin: FastifyPluginAsync<WebAppOptions> = fastifyPlugin(plugin, { name: 'rdkafka-toolkit', fastify: '5.x' });

/**
 * A route that makes a record of each request. 202, with where the record is, once the broker has acknowledged it; 400 for a body that does
 * not fit the schema, naming the field; 503 with `Retry-After` when the queue is full or no broker acknowledges in time.
 */
export function produceRoute<Request extends FastifyRequest = FastifyRequest, K = never, V = never>(
  options: ProduceRouteOptions<Request, K, V>,
): RouteHandlerMethod {
  return async function produceRecord(this: FastifyInstance, request, reply) {
    const { topic, partition, offset } = await this.kafka.produce(request as Request, options);
    return reply.code(202).send({ topic, partition, offset });
  };
}

/**
 * Closes the app at SIGTERM or SIGINT: `/ready` says no, no connection is taken any more, requests under way are answered, the producer
 * is flushed. Resolves when that is done.
 *
 * @throws ShutdownError when it was not done in time; a process that lets it through exits with code 1
 * @throws what went wrong while it closed
 */
export function closeAtSignal(app: FastifyInstance, options: CloseAtSignalOptions = {}): Promise<void> {
  return closeAtStop({ begin: () => app.kafka.beginClose(), close: () => app.close() }, options);
}
