import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import kafka, { type ConsumerGlobalConfig, type Producer } from 'node-rdkafka';
import { ToolkitError } from '../../src/errors.ts';
import { cacheDirectory, fetchArtifacts } from '../services/artifacts.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { type SchemaRegistry, startApicurio } from '../services/schema-registry.ts';
import { saslUser, scramMechanisms } from '../services/server-properties.ts';
import { isAlive } from '../services/service-process.ts';
import { createTopics, deleteTopics } from '../services/topics.ts';

const cli = join(import.meta.dirname, '../services/cli.js');
const PRODUCE_TIMEOUT_MS = 20_000;

before(fetchArtifacts, { timeout: 600_000 });

describe('one broker and a registry', { timeout: 60_000 }, () => {
  let cluster: KafkaCluster;
  let registry: SchemaRegistry;

  before(async () => {
    [cluster, registry] = await Promise.all([startKafka({ clusterId: '-AAAAAAAAAAAAAAAAAAAAA' }), startApicurio()]);
    await createTopics(cluster.bootstrapServers, [{ topic: 'records', partitions: 2, replicationFactor: 1 }]);
  });
  after(() => Promise.all([cluster.close(), registry.close()]));

  test('records produced are consumed', async () => {
    await produce(cluster.bootstrapServers, 'records', values(0, 10));
    assert.deepEqual(await consume(cluster.bootstrapServers, 'records', 10), values(0, 10));
  });

  test('refuses to create a topic that exists, with librdkafka’s number', async () => {
    const creation = createTopics(cluster.bootstrapServers, [{ topic: 'records', partitions: 1, replicationFactor: 1 }]);
    await assert.rejects(creation, (error) => error instanceof ToolkitError && error.kafkaCode === 36);
  });

  test('a topic is gone once it is deleted, and can be created again', async () => {
    const topic = { topic: 'short-lived', partitions: 1, replicationFactor: 1 };
    await createTopics(cluster.bootstrapServers, [topic]);
    await deleteTopics(cluster.bootstrapServers, [topic.topic]);
    await createTopics(cluster.bootstrapServers, [topic]);
  });

  test('the registry gives back a schema by the id it was registered under', async () => {
    const schema = JSON.stringify({ type: 'record', name: 'Car', fields: [{ name: 'speed', type: 'int' }] });
    const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' };
    const registered = await fetch(`${registry.url}/subjects/cars-value/versions`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ schema }),
    });
    const { id } = (await registered.json()) as { id: number };
    const found = (await (await fetch(`${registry.url}/schemas/ids/${id}`)).json()) as { schema: string };
    assert.deepEqual(JSON.parse(found.schema), JSON.parse(schema));
  });

  test('lets the user in by every SASL mechanism, and nobody with a wrong password', async () => {
    const signIn = (mechanism: string, password: string): Promise<string> => firstAnswer(cluster.saslBootstrapServers, mechanism, password);
    const mechanisms = ['PLAIN', ...scramMechanisms];
    for (const mechanism of mechanisms) assert.equal(await signIn(mechanism, saslUser.password), 'connected');
    const refusals = await Promise.all(mechanisms.map((mechanism) => signIn(mechanism, 'wrong')));
    for (const refusal of refusals) assert.match(refusal, /authentication/i);
  });

  test('takes and still has its records after kill -9 and a restart', async () => {
    const broker = cluster.brokers[0]!;
    const { pid, port } = broker;
    const alreadyThere = await consume(cluster.bootstrapServers, 'records', 10);
    await broker.kill();
    assert.equal(isAlive(pid), false);
    await broker.restart();
    assert.notEqual(broker.pid, pid);
    assert.equal(broker.port, port);
    await produce(cluster.bootstrapServers, 'records', values(10, 20));
    assert.deepEqual(await consume(cluster.bootstrapServers, 'records', 20), [...alreadyThere, ...values(10, 20)]);
  });

  test('answers nothing while it is paused, and goes on when it is resumed', async () => {
    const broker = cluster.brokers[0]!;
    broker.pause();
    try {
      await assert.rejects(produce(cluster.bootstrapServers, 'records', values(20, 21), 1_500));
    } finally {
      broker.resume();
    }
    await produce(cluster.bootstrapServers, 'records', values(20, 21));
  });

  test('close leaves no process and no data behind, and may be called twice', async () => {
    const pids = [...cluster.brokers.map(({ pid }) => pid), registry.pid];
    assert.deepEqual(pids.map(isAlive), [true, true]);
    await Promise.all([cluster.close(), cluster.close(), registry.close()]);
    assert.deepEqual(pids.map(isAlive), [false, false]);
    assert.deepEqual(runsOf(process.pid), []);
  });
});

describe('three brokers', { timeout: 60_000 }, () => {
  test('go on without one that was killed, which catches up when it is back', async () => {
    await using cluster = await startKafka({ brokers: 3, serverProperties: { 'log.retention.hours': 1 } });
    const topic = { topic: 'records', partitions: 3, replicationFactor: 3 };
    await createTopics(cluster.bootstrapServers, [topic]);
    await produce(cluster.bootstrapServers, 'records', values(0, 10));
    const [first] = cluster.brokers;
    await first!.kill();
    await produce(cluster.bootstrapServers, 'records', values(10, 20));
    await first!.restart();
    // Resolves only when every partition has all three replicas in sync, the restarted one among them.
    await createTopics(cluster.bootstrapServers, [{ ...topic, topic: 'after-restart' }]);
    assert.deepEqual(await consume(cluster.bootstrapServers, 'records', 20), values(0, 20));
  });
});

describe('a broker that cannot start', { timeout: 60_000 }, () => {
  test('is reported with the end of its log, and leaves nothing behind', async () => {
    await assert.rejects(startKafka({ serverProperties: { 'num.io.threads': 0 } }), /format the storage of broker 1.*num\.io\.threads/s);
    const start = startKafka({ serverProperties: { 'metric.reporters': 'no.such.Reporter' } });
    await assert.rejects(start, /broker-1 .*ended while it started.*no\.such\.Reporter/s);
    assert.deepEqual(runsOf(process.pid), []);
  });
});

describe('the command line', { timeout: 60_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'services-test-'));
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('stops its services on SIGTERM; what a killed launcher left is ended by the next, which exits with its command’s code', async () => {
    const stopped = await launch(join(directory, 'stopped.json'));
    const killed = await launch(join(directory, 'killed.json'));
    stopped.launcher.kill('SIGTERM');
    assert.equal(await exitCode(stopped.launcher), 0);
    assert.equal(isAlive(stopped.brokerPid), false);
    killed.launcher.kill('SIGKILL');
    await exitCode(killed.launcher);
    assert.equal(isAlive(killed.brokerPid), true);

    const script = 'process.exit(/^127.0.0.1:\\d+$/.test(process.env.KAFKA_BOOTSTRAP_SERVERS) ? 7 : 8)';
    const next = spawn(process.execPath, [cli, '--no-registry', 'exec', process.execPath, '-e', script], { stdio: 'inherit' });
    assert.equal(await exitCode(next), 7);
    assert.equal(isAlive(killed.brokerPid), false);
    assert.deepEqual(runsOf(killed.launcher.pid), []);
  });

  test('tells every wrong argument at once', async () => {
    const { code, errors } = await run(['--brokers', '2', 'run']);
    assert.equal(code, 2);
    assert.match(errors, /--brokers to be 1 or 3, got "2".*got "run"/s);
  });

  test('ends at once with a hint when Java is missing', async () => {
    const { code, errors } = await run([], { PATH: directory });
    assert.equal(code, 1);
    assert.match(errors, /`java` is not on the PATH.*Java 17/s);
  });
});

/** Numbered values, sorted as `consume` gives them. */
function values(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `value-${String(from + index).padStart(3, '0')}`);
}

function runsOf(pid: number | undefined): string[] {
  return readdirSync(cacheDirectory).filter((name) => name.startsWith(`run-${pid}-`));
}

async function launch(json: string): Promise<{ launcher: ChildProcess; brokerPid: number }> {
  const launcher = spawn(process.execPath, [cli, '--no-registry', '--json', json], { stdio: 'ignore' });
  while (!existsSync(json)) {
    assert.equal(launcher.exitCode, null, 'the launcher ended before its services were ready');
    await sleep(100);
  }
  const { brokers } = JSON.parse(readFileSync(json, 'utf8')) as { brokers: { pid: number }[] };
  return { launcher, brokerPid: brokers[0]!.pid };
}

async function run(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<{ code: number | null; errors: string }> {
  const child = spawn(process.execPath, [cli, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });
  const chunks: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, errors: Buffer.concat(chunks).toString() };
}

function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('exit', resolve));
}

/** Resolves when every value is acknowledged by all replicas in sync. */
async function produce(bootstrapServers: string, topic: string, records: readonly string[], timeoutMs = PRODUCE_TIMEOUT_MS): Promise<void> {
  const config = { 'metadata.broker.list': bootstrapServers, dr_cb: true };
  const producer = new kafka.Producer(config, { acks: -1, 'message.timeout.ms': timeoutMs });
  try {
    await connected(producer, timeoutMs);
    producer.setPollInterval(20);
    await new Promise<void>((resolve, reject) => {
      let left = records.length;
      producer.on('delivery-report', (error) => {
        left -= 1;
        if (error) reject(error);
        else if (left === 0) resolve();
      });
      for (const value of records) producer.produce(topic, null, Buffer.from(value), value);
    });
  } finally {
    await new Promise((resolve) => producer.disconnect(resolve));
  }
}

function connected(producer: Producer, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => producer.connect({ timeout: timeoutMs }, (error) => (error ? reject(error) : resolve())));
}

/** Reads a topic from its start until it has `count` records; their values, sorted. */
async function consume(bootstrapServers: string, topic: string, count: number): Promise<string[]> {
  const group = `services-test-${Date.now()}-${Math.random()}`;
  const config: ConsumerGlobalConfig = { 'metadata.broker.list': bootstrapServers, 'group.id': group, 'enable.auto.commit': false };
  const consumer = new kafka.KafkaConsumer(config, { 'auto.offset.reset': 'earliest' });
  try {
    await new Promise<void>((resolve, reject) => consumer.connect({}, (error) => (error ? reject(error) : resolve())));
    consumer.subscribe([topic]);
    consumer.setDefaultConsumeTimeout(200);
    const found: string[] = [];
    const deadline = Date.now() + 20_000;
    while (found.length < count && Date.now() < deadline) {
      const batch = await new Promise<string[]>((resolve, reject) => {
        consumer.consume(100, (error, messages) => (error ? reject(error) : resolve(messages.map(({ value }) => String(value)))));
      });
      found.push(...batch);
    }
    return found.sort();
  } finally {
    await new Promise((resolve) => consumer.disconnect(resolve));
  }
}

/** `connected`, or the first error that a sign-in meets. */
async function firstAnswer(bootstrapServers: string, mechanism: string, password: string): Promise<string> {
  const producer = new kafka.Producer(
    {
      'metadata.broker.list': bootstrapServers,
      'security.protocol': 'sasl_plaintext',
      'sasl.mechanisms': mechanism,
      'sasl.username': saslUser.username,
      'sasl.password': password,
    },
    {},
  );
  const polling = setInterval(() => producer.poll(), 50);
  try {
    return await new Promise<string>((resolve) => {
      producer.on('event.error', (error) => resolve(error.message));
      producer.connect({ timeout: 3_000 }, (error) => resolve(error ? error.message : 'connected'));
    });
  } finally {
    clearInterval(polling);
    await new Promise((resolve) => producer.disconnect(resolve));
  }
}
