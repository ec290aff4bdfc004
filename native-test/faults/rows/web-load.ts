import { randomUUID } from 'node:crypto';
import autocannon, { type Request } from 'autocannon';
import { consumeAllMessages, createConsumer, jsonDeserializer, parseRuntimeVars } from 'rdkafka-toolkit';
import type { KafkaCluster } from '../../services/kafka-cluster.ts';
import { awaitInSync, createTopics } from '../../services/topics.ts';
import { ScriptProcess } from '../child-process.ts';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Verdict } from '../verify.ts';
import { type Answer, compareAnswers } from '../web-answers.ts';
import type { WebMessage, WebTask } from '../web-server.ts';

const MEGABYTE = 1_048_576;
const CONNECTIONS = 40;
const REQUESTS_PER_SECOND = 1_500;
/** Less than a broker's restart takes, so that some requests are refused. */
const REQUEST_TIMEOUT_MS = 1_000;
/** V8's heap under load, and what the producer's queue may hold. */
const GROWTH_LIMIT_BYTES = 160 * MEGABYTE;
/** About as long as a quorum takes to come back, and a while before and after. */
const SECONDS_PER_RESTART = 20;
/** How much longer it may take where the brokers' machine is busy. */
const RECOVERY_SECONDS = 40;

/** Whether requests were acknowledged after some were refused. */
function isRecovered(answers: ReadonlyMap<number, Answer>): boolean {
  const told = [...answers.values()];
  return told.lastIndexOf('acknowledged') > told.indexOf('none');
}

/** Restarts a broker, or two of the three at once: then no quorum is left, and nothing is acknowledged. */
async function restart(context: FaultContext, { brokers, bootstrapServers }: KafkaCluster, topic: string, round: number): Promise<void> {
  await context.sleep(3_000);
  const down = round % 2 === 0 ? [0, 1] : [2];
  await Promise.all(down.map((index) => brokers[index]!.kill()));
  await context.sleep(3_000);
  await Promise.all(down.map((index) => brokers[index]!.restart()));
  await awaitInSync(bootstrapServers, [topic]);
}

/**
 * Every request has a number of its own; gives what each was answered with. Ends after `seconds`, or when requests are acknowledged again, whichever
 * is later, but after {@link RECOVERY_SECONDS} more in any case.
 */
async function load(url: string, seconds: number): Promise<{ readonly answers: ReadonlyMap<number, Answer>; readonly failed: number }> {
  const answers = new Map<number, Answer>();
  let last = 0;
  const request: Request = {
    method: 'POST',
    path: '/records',
    headers: { 'content-type': 'application/json' },
    setupRequest(prepared, context) {
      const id = ++last;
      // Until it is answered, if it ever is: the last ones are cut off.
      answers.set(id, 'unknown');
      Object.assign(context, { id });
      return { ...prepared, body: JSON.stringify({ id, filling: 'x'.repeat(150) }) };
    },
    onResponse(status, body, context) {
      const { id } = context as { id: number };
      if (status === 202) answers.set(id, 'acknowledged');
      else answers.set(id, (JSON.parse(body) as { delivery?: Answer }).delivery ?? 'unknown');
    },
  };
  let failed = 0;
  const send = async (duration: number): Promise<void> => {
    const { errors, timeouts } = await autocannon({
      url,
      connections: CONNECTIONS,
      overallRate: REQUESTS_PER_SECOND,
      duration,
      timeout: 30,
      requests: [request],
    });
    failed += errors + timeouts;
  };
  await send(seconds);
  for (let more = 0; more < RECOVERY_SECONDS && !isRecovered(answers); more += 5) await send(5);
  return { answers, failed };
}

/** Compares what clients were told with what is in the topic. */
async function verify(bootstrapServers: string, topic: string, answers: ReadonlyMap<number, Answer>): Promise<Verdict> {
  const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: bootstrapServers, APP_NAME: `verify-${topic}` });
  await using consumer = await createConsumer({ vars, topics: [topic], valueDeserializer: jsonDeserializer<{ id: number }>() });
  const seen = new Map<number, number>();
  for await (const { value } of consumeAllMessages(consumer)) seen.set(value!.id, (seen.get(value!.id) ?? 0) + 1);
  return compareAnswers(answers, seen);
}

async function run(context: FaultContext): Promise<Outcome> {
  const restarts = context.choose(1, 20);
  const cluster = await context.cluster();
  const { bootstrapServers } = cluster;
  const topic = `web-${randomUUID().slice(0, 8)}`;
  await createTopics(bootstrapServers, [{ topic, partitions: 4, replicationFactor: 3, config: { 'min.insync.replicas': '2' } }]);
  let url = '';
  let readyRssBytes = 0;
  let peakRssBytes = 0;
  const task: WebTask = { topic, timeoutMs: REQUEST_TIMEOUT_MS };
  const environment = {
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    APP_NAME: topic,
    HOSTNAME: 'web-0',
    RDKAFKA_RECONNECT_BACKOFF_MAX_MS: '1000',
  };
  const server = new ScriptProcess<WebMessage>('./web-server.js', task, environment, (message) => {
    if (message.kind === 'listening') [url, readyRssBytes] = [message.url, message.rssBytes];
    peakRssBytes = Math.max(peakRssBytes, message.rssBytes);
  });
  context.defer(() => server.kill());
  await context.until('the web server listens', () => url !== '' || !server.running, 20_000);
  const restarting = (async () => {
    for (let round = 0; round < restarts; round++) await restart(context, cluster, topic, round);
  })();
  const [{ answers, failed }] = await Promise.all([load(url, restarts * SECONDS_PER_RESTART), restarting]);
  server.signal('SIGTERM');
  const { code } = await server.ended;
  const verdict = await verify(bootstrapServers, topic, answers);
  const told = [...answers.values()];
  const count = (wanted: Answer): number => told.filter((answer) => answer === wanted).length;
  const failures = judge(verdict, 0);
  if (failed > 0) failures.push(`${failed} requests had no answer`);
  if (code !== 0) failures.push(`The web server ended with code ${code}: ${server.stderr}`);
  if (count('none') === 0) failures.push('No request was refused: the restarts tested nothing');
  else if (!isRecovered(answers)) failures.push('No request was acknowledged after the outage');
  const grown = peakRssBytes - readyRssBytes;
  if (grown > GROWTH_LIMIT_BYTES) failures.push(`The web server grew by ${Math.round(grown / MEGABYTE)} MB`);
  const notes = [
    `202 × ${count('acknowledged')}, 503 × ${count('none') + count('unknown')} (${count('unknown')} of them unknown)`,
    `grew by ${Math.round(grown / MEGABYTE)} MB`,
  ];
  return { injected: restarts, verdict, duplicateBound: 0, failures, notes };
}

export const webLoad: readonly Fault[] = [
  {
    id: '20-web-load',
    description: 'HTTP load on a Fastify route while brokers restart: every 202 is in the topic, no refused record is',
    limitSeconds: ({ long }) => (long ? 900 : 120),
    run,
  },
];
