import assert from 'node:assert/strict';
import { test } from 'node:test';
import rdkafka, { type Producer } from 'node-rdkafka';
import { consumeAllMessages, createConsumer } from 'rdkafka-toolkit';
import { startServices } from '../support/services.ts';

/**
 * Commits or aborts a transaction of `count` records to partition 0. They are written before it ends: an abort while the
 * coordinator still finishes the transaction before is refused (INVALID_TXN_STATE), as it has not taken the partition in.
 */
async function transact(producer: Producer, topic: string, count: number, end: 'commitTransaction' | 'abortTransaction'): Promise<void> {
  const call = (run: (done: (error: unknown) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => run((error) => (error ? reject(error as Error) : resolve())));
  await call((done) => producer.beginTransaction(done));
  for (let index = 0; index < count; index++) producer.produce(topic, 0, Buffer.from(`${end} ${index}`));
  await call((done) => producer.flush(10_000, done));
  await call((done) => producer[end](10_000, done));
}

for (const native of ['on', 'off']) {
  for (const marksEnds of [false, true]) {
    const how = `addon ${native}${marksEnds ? ', ends marked' : ''}`;
    test(`a topic that ends with transaction markers is read to its end (${how})`, { timeout: 60_000 }, async () => {
      await using services = await startServices();
      const topic = await services.topic('transactions');
      const producer = new rdkafka.Producer({ 'bootstrap.servers': services.bootstrapServers, 'transactional.id': topic });
      await new Promise<void>((resolve, reject) => {
        producer.connect({}, (error) => (error ? reject(error) : resolve()));
      });
      try {
        await new Promise<void>((resolve, reject) => {
          producer.initTransactions(10_000, (error) => (error ? reject(error) : resolve()));
        });
        await transact(producer, topic, 3, 'commitTransaction');
        await transact(producer, topic, 2, 'abortTransaction');
      } finally {
        await new Promise((resolve) => producer.disconnect(resolve));
      }
      await using consumer = await createConsumer({
        vars: services.vars({ RDKAFKA_TOOLKIT_NATIVE: native }),
        topics: [topic],
        config: { 'isolation.level': 'read_committed', 'enable.partition.eof': marksEnds },
      });
      for (let round = 0; round < 2; round++) {
        const values: string[] = [];
        for await (const { value } of consumeAllMessages(consumer, { stallTimeoutMs: 10_000 })) values.push(String(value));
        assert.deepEqual(values, ['commitTransaction 0', 'commitTransaction 1', 'commitTransaction 2']);
      }
    });
  }
}
