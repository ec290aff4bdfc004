import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ClosedError,
  type Consumer,
  consumeAllMessages,
  consumeMessage,
  createConsumer,
  createProducer,
  enqueueAutoCommits,
  NoMessageError,
  StateError,
} from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { fill } from '../support/topics.ts';

async function take(consumer: Consumer, count: number): Promise<string[]> {
  const values: string[] = [];
  while (values.length < count) values.push(String((await consumeMessage(consumer)).value));
  return values;
}

describe('a consumer', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('gives records in order to for await, and ends the loop when it is closed', async () => {
    const input = await services.topic('in');
    await fill(services, input, 50, { partition: 1 });
    const consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    const values: string[] = [];
    for await (const record of consumer) {
      values.push(String(record.value));
      if (values.length === 50) setTimeout(() => void consumer.close(), 50);
    }
    assert.deepEqual(
      values,
      Array.from({ length: 50 }, (_, index) => String(index)),
    );
  });

  test('hands nothing over of a paused partition, and loses nothing by it', async () => {
    const input = await services.topic('in');
    await fill(services, input, 20, { partition: 0 });
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    const at = { topic: input, partition: 0 };
    assert.deepEqual(await take(consumer, 5), ['0', '1', '2', '3', '4']);
    await consumer.pause([at]);
    assert.deepEqual(consumer.paused(), [at]);
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 500 }), NoMessageError);
    consumer.resume([at]);
    assert.deepEqual(
      await take(consumer, 15),
      Array.from({ length: 15 }, (_, index) => String(index + 5)),
    );
  });

  test('seeks forth and back', async () => {
    const input = await services.topic('in');
    await fill(services, input, 20, { partition: 3 });
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    assert.deepEqual(await take(consumer, 2), ['0', '1']);
    await consumer.seek({ topic: input, partition: 3, offset: 15 });
    assert.deepEqual(await take(consumer, 2), ['15', '16']);
    await consumer.seek({ topic: input, partition: 3, offset: 0 });
    assert.deepEqual(await take(consumer, 2), ['0', '1']);
    await assert.rejects(consumer.seek({ topic: input, partition: 44, offset: 0 }), StateError);
    await assert.rejects(consumer.seek({ topic: input, partition: 3, offset: -1 }), StateError);
  });

  test('tells position, watermarks and lag as the application sees them', async () => {
    const input = await services.topic('in');
    await fill(services, input, 10, { partition: 2 });
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    await take(consumer, 4);
    const at = { topic: input, partition: 2 };
    assert.deepEqual(consumer.position([at]), [4]);
    assert.deepEqual(await consumer.watermarks(at), { low: 0, high: 10 });
    const lag = await consumer.lag();
    assert.equal(lag.length, 4);
    assert.equal(lag.find(({ partition }) => partition === 2)?.lagRecords, 6);
    assert.deepEqual(await consumer.committed([at]), [undefined]);
  });

  test('tells the position of the application while more of a backlog is fetched', async () => {
    const input = await services.topic('in');
    await fill(services, input, 20_000, { partition: 1 });
    const vars = services.vars({ CONSUMER_PREFETCH_COUNT: '200' });
    await using consumer = await createConsumer({ vars, topics: [input] });
    const at = { topic: input, partition: 1 };
    let turns = 0;
    let isOver = false;
    const turn = (): void => {
      turns++;
      if (!isOver) setImmediate(turn).unref();
    };
    turn();
    for (let next = 0; next < 20_000; ) {
      const record = await consumeMessage(consumer);
      assert.equal(String(record.value), String(next++));
      assert.deepEqual(consumer.position([at]), [next]);
      enqueueAutoCommits(consumer, record);
      if (next > 1) continue;
      // Until librdkafka has them all: from then on nothing but the fetches makes the loop wait.
      await sleep(500);
      turns = 0;
    }
    isOver = true;
    // The event loop had its turn once a batch.
    assert.ok(turns >= 50, `${turns} turns`);
  });

  test('reads everything there was at the start, and not what came later', async () => {
    const input = await services.topic('in');
    await fill(services, input, 300);
    const vars = services.vars();
    await using consumer = await createConsumer({ vars, topics: [input] });
    await using producer = await createProducer({ vars });
    const keys = new Set<string>();
    for await (const record of consumeAllMessages(consumer)) {
      if (keys.size === 0) for (let late = 0; late < 20; late++) await producer.send({ topic: input, key: `late-${late}`, value: 'x' });
      keys.add(String(record.key));
    }
    assert.equal(keys.size, 300);
    assert.ok(![...keys].some((key) => key.startsWith('late')));
  });

  test('reads everything again from a consumer that was at the end, and says when an end cannot be reached', async () => {
    const input = await services.topic('in');
    await fill(services, input, 40);
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    for (let round = 0; round < 3; round++) {
      let count = 0;
      for await (const _ of consumeAllMessages(consumer)) count++;
      assert.equal(count, 40);
    }
    const paused = async (): Promise<void> => {
      for await (const record of consumeAllMessages(consumer, { stallTimeoutMs: 500 })) {
        await consumer.pause(consumer.assignment().filter(({ partition }) => partition === record.partition));
      }
    };
    await assert.rejects(paused(), /No record came for 500 ms of .* before its end/);
  });

  test('carries keys, values, headers and timestamps unchanged', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    await using producer = await createProducer({ vars });
    const headers = [
      { name: 'a', value: 'first' },
      { name: 'a', value: Buffer.from('second') },
      { name: '__proto__', value: 'harmless' },
      { name: 'empty', value: '' },
      { name: 'ünïcode', value: '…' },
    ];
    const sent = [
      { topic: input, partition: 0, key: null, value: null, timestamp: 1_700_000_000_000 },
      { topic: input, partition: 0, key: '', value: '', headers },
      { topic: input, partition: 0, key: Buffer.from([0, 255]), value: Buffer.from([1, 2, 3]), headers: { one: '1' } },
    ];
    for (const record of sent) await producer.send(record);
    await using consumer = await createConsumer({ vars, topics: [input] });
    const [first, second, third] = [await consumer.consume(), await consumer.consume(), await consumer.consume()];
    assert.deepEqual([first.key, first.value, first.timestamp, first.headers], [null, null, 1_700_000_000_000, []]);
    assert.deepEqual([second.key, second.value], [Buffer.alloc(0), Buffer.alloc(0)]);
    assert.deepEqual(
      second.headers.map(({ name, value }) => [name, String(value)]),
      headers.map(({ name, value }) => [name, String(value)]),
    );
    assert.equal(String(second.header('a')), 'second');
    assert.deepEqual([third.key, third.value], [Buffer.from([0, 255]), Buffer.from([1, 2, 3])]);
  });

  test('closes once however often it is asked, and says that it is closed', async () => {
    const input = await services.topic('in');
    const consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    const waiting = consumeMessage(consumer, undefined, { timeoutMs: 20_000 }).catch((error: unknown) => error);
    await sleep(300);
    const [first, second] = [consumer.close(), consumer.close()];
    assert.equal(first, second);
    await first;
    assert.ok((await waiting) instanceof ClosedError);
    await assert.rejects(consumeMessage(consumer), ClosedError);
    assert.throws(() => consumer.assignment(), ClosedError);
  });

  test('stops waiting when its signal fires', async () => {
    const input = await services.topic('in');
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 20_000, signal: AbortSignal.timeout(200) }), {
      name: 'TimeoutError',
    });
  });

  test('keeps polling while nobody asks for records', async () => {
    const input = await services.topic('in');
    await fill(services, input, 10);
    const vars = services.vars({ CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6', CONSUMER_TIMEOUT_LIMIT_MINUTES: '0.1' });
    await using consumer = await createConsumer({ vars, topics: [input] });
    const errors: Error[] = [];
    consumer.on('clientError', (error) => errors.push(error));
    await take(consumer, 1);
    // Longer than max.poll.interval.ms.
    await sleep(8_000);
    assert.equal((await take(consumer, 9)).length, 9);
    assert.equal(consumer.assignment().length, 4);
    assert.deepEqual(errors, []);
  });

  test('does not starve the file system with many idle consumers', async () => {
    const input = await services.topic('in');
    const consumers = await Promise.all(Array.from({ length: 6 }, () => createConsumer({ vars: services.vars(), topics: [input] })));
    const idle = consumers.map((consumer) => consumeMessage(consumer, undefined, { timeoutMs: 3_000 }).catch(() => undefined));
    await sleep(500);
    const { stat } = await import('node:fs/promises');
    const waits: number[] = [];
    for (let round = 0; round < 20; round++) {
      const start = performance.now();
      await stat('.');
      waits.push(performance.now() - start);
    }
    assert.ok(waits.toSorted((a, b) => a - b)[15]! < 50, `${waits}`);
    await Promise.all(idle);
    await Promise.all(consumers.map((consumer) => consumer.close()));
  });
});
