/**
 * A forms producer on Fastify: a form behind a login, each one a record. By itself it serves 40 visitors of its own and ends; with PORT set it
 * serves until SIGTERM (`FORMS_USER`, `FORMS_PASSWORD`; the form is at `/`).
 *
 * Guarantee: a visitor who got a 202 has a record that the brokers acknowledged. After a 503 with `"delivery": "unknown"` the record may come
 * or not: a visitor who sends the form again may be counted twice. At the end requests under way are answered before the producer is flushed.
 */
import Fastify from 'fastify';
import { createAvroProducer, createSchemaRegistry, MetricsManager } from 'rdkafka-toolkit';
import { closeAtSignal, kafkaPlugin, produceRoute } from 'rdkafka-toolkit/fastify';
import { feedbackOf, feedbackSchema, Login, outcomeOf, page, readFeedback, serveVisitors } from './support/forms.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const topic = await services.topic('feedback');
  const vars = services.vars('fastify-forms', { HOSTNAME: 'fastify-forms-0' });
  const login = new Login();

  const app = Fastify({ bodyLimit: 16_384 });
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
    done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
  const metrics = new MetricsManager({ vars });
  await app.register(kafkaPlugin, {
    producer: () => createAvroProducer({ vars, registry: createSchemaRegistry({ vars }), valueSchema: feedbackSchema }),
    metrics,
  });
  app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(page));
  app.post(
    '/feedback',
    {
      preHandler: async ({ headers }, reply) => {
        if (!login.admits(headers.authorization)) await reply.code(401).header('www-authenticate', login.challenge).send();
      },
    },
    produceRoute({ topic, value: ({ body }) => feedbackOf(body) }),
  );

  const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 0) });
  const visited = new AbortController();
  const closed = closeAtSignal(app, { signal: AbortSignal.any([stop, visited.signal]), handleSignals: false });
  const statuses = await serveVisitors(url, login, visited);
  await closed;
  return outcomeOf(statuses, await readFeedback(services, topic));
}

await runMain('fastify-forms', main);
