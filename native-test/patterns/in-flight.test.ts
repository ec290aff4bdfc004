import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { consumeAllMessages, consumeMessage, createConsumer, createProducer, enqueueAutoCommits, NoMessageError } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, fill } from '../support/topics.ts';

describe('records in flight', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('are bounded in number: no more are handed over until some are finished', async () => {
    const topic = await services.topic('in');
    await fill(services, topic, 50);
    const vars = services.vars({ CONSUMER_MAX_IN_FLIGHT_RECORDS: '8' });
    await using consumer = await createConsumer({ vars, topics: [topic], producers: [] });
    const held = [];
    for (let count = 0; count < 8; count++) held.push(await consumeMessage(consumer));
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 300 }), (error: unknown) => {
      assert.ok(error instanceof NoMessageError);
      assert.match(error.message, /8 records are handed over and not finished.*CONSUMER_MAX_IN_FLIGHT_RECORDS.*enqueueAutoCommits/);
      return true;
    });
    // Finished out of order: the oldest one unfinished holds the rest.
    const [first, ...others] = held;
    const samePartition = others.filter(({ partition }) => partition === first!.partition);
    enqueueAutoCommits(consumer, samePartition);
    assert.equal(samePartition.length > 0, true);
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 300 }), NoMessageError);
    enqueueAutoCommits(consumer, held);
    const batch = await consumer.consumeBatch({ count: 42, timeoutMs: 1_000 });
    assert.equal(batch.length, 8);
    enqueueAutoCommits(consumer, batch);
    for (let count = 16; count < 50; count++) enqueueAutoCommits(consumer, await consumeMessage(consumer));
    await consumer.close();
    assert.equal(await committedTotal(services, vars, topic), 50);
  });

  test('are bounded in bytes', async () => {
    const topic = await services.topic('in');
    const producer = await createProducer({ vars: services.vars() });
    for (let count = 0; count < 10; count++) await producer.enqueue({ topic, partition: 0, value: Buffer.alloc(10_000) });
    await producer.close();
    const vars = services.vars({ CONSUMER_MAX_IN_FLIGHT_MB: '0.025' });
    await using consumer = await createConsumer({ vars, topics: [topic], producers: [] });
    const held = [];
    for (let count = 0; count < 3; count++) held.push(await consumeMessage(consumer));
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 300 }), NoMessageError);
    enqueueAutoCommits(consumer, held[0]!);
    enqueueAutoCommits(consumer, await consumeMessage(consumer));
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 300 }), NoMessageError);
    enqueueAutoCommits(consumer, held);
  });

  test('wait for their outputs, and are free as soon as those are delivered', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 200);
    const vars = services.vars({ CONSUMER_MAX_IN_FLIGHT_RECORDS: '10' });
    const producer = await createProducer({ vars });
    await using consumer = await createConsumer({ vars, topics: [input], producers: [producer] });
    for (let count = 0; count < 200; count++) {
      const record = await consumeMessage(consumer);
      await producer.enqueue({ topic: output, value: record.value });
      enqueueAutoCommits(consumer, record);
      assert.ok(producer.inFlight <= 10, String(producer.inFlight));
    }
    await producer.close();
  });

  test('do not stop who only reads: the synchronous pattern between two commits, and a topic read as a whole', async () => {
    const topic = await services.topic('in');
    await fill(services, topic, 100);
    const limit = { CONSUMER_MAX_IN_FLIGHT_RECORDS: '5' };
    await using synchronous = await createConsumer({
      vars: services.vars({ ...limit, CONSUMER_ENABLE_AUTO_COMMIT: 'false' }),
      topics: [topic],
    });
    for (let count = 0; count < 100; count++) await consumeMessage(synchronous);

    const vars = services.vars(limit);
    await using reader = await createConsumer({ vars, topics: [topic], producers: [] });
    let read = 0;
    for await (const record of consumeAllMessages(reader)) {
      read++;
      enqueueAutoCommits(reader, record);
    }
    assert.equal(read, 100);
    // What comes after the end is consumed as ever.
    await fill(services, topic, 20, { partition: 2 });
    const last = [];
    for (let count = 0; count < 20; count++) {
      last.push(await consumeMessage(reader));
      enqueueAutoCommits(reader, last.at(-1)!);
    }
    await reader.close();
    assert.equal(await committedTotal(services, vars, topic), last.at(-1)!.offset + 1);
  });
});
