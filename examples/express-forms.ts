/**
 * A forms producer on Express: a form behind a login, each one a record. By itself it serves 40 visitors of its own and ends; with PORT set it
 * serves until SIGTERM (`FORMS_USER`, `FORMS_PASSWORD`; the form is at `/`).
 *
 * Guarantee: a visitor who got a 202 has a record that the brokers acknowledged. After a 503 with `"delivery": "unknown"` the record may come
 * or not: a visitor who sends the form again may be counted twice. At the end requests under way are answered before the producer is flushed.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createAvroProducer, createSchemaRegistry, MetricsManager } from 'rdkafka-toolkit';
import { closeAtSignal, kafkaErrors, produceRoute, useKafka } from 'rdkafka-toolkit/express';
import { feedbackOf, feedbackSchema, Login, outcomeOf, page, readFeedback, serveVisitors } from './support/forms.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const topic = await services.topic('feedback');
  const vars = services.vars('express-forms', { HOSTNAME: 'express-forms-0' });
  const login = new Login();

  const app = express();
  app.use(express.urlencoded({ extended: false, limit: 16_384 }));
  const metrics = new MetricsManager({ vars });
  await useKafka(app, {
    producer: () => createAvroProducer({ vars, registry: createSchemaRegistry({ vars }), valueSchema: feedbackSchema }),
    metrics,
  });
  app.get('/', (_request, response) => void response.type('html').send(page));
  app.post(
    '/feedback',
    ({ headers }, response, next) => {
      if (login.admits(headers.authorization)) next();
      else response.status(401).set('www-authenticate', login.challenge).end();
    },
    produceRoute({ topic, value: ({ body }) => feedbackOf(body) }),
  );
  app.use(kafkaErrors);

  const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const visited = new AbortController();
  const closed = closeAtSignal(app, server, { signal: AbortSignal.any([stop, visited.signal]), handleSignals: false });
  const statuses = await serveVisitors(url, login, visited);
  await closed;
  return outcomeOf(statuses, await readFeedback(services, topic));
}

await runMain('express-forms', main);
