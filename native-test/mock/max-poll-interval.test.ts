import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { consumeMessage, createConsumer, enqueueAutoCommits } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { fill } from '../support/topics.ts';

const MAX_POLL_EXCEEDED = -147;
const config = { 'max.poll.interval.ms': 3_000, 'session.timeout.ms': 3_000, 'heartbeat.interval.ms': 500 };

for (const native of ['on', 'off']) {
  describe(`max.poll.interval.ms, addon ${native}`, () => {
    /** What a consumer is told while `work` runs. */
    async function watch(work: (consumer: Awaited<ReturnType<typeof open>>) => Promise<void>): Promise<string[]> {
      await using services = await startServices();
      const topic = await services.topic('poll');
      await fill(services, topic, 200);
      await using consumer = await open(services, topic);
      const told: string[] = [];
      await consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
      consumer.on('revoked', () => told.push('revoked'));
      consumer.on('clientError', ({ kafkaCode }) => told.push(String(kafkaCode)));
      await work(consumer);
      // Closing revokes, too.
      return [...told];
    }

    function open(services: Services, topic: string): ReturnType<typeof createConsumer> {
      return createConsumer({ vars: services.vars({ RDKAFKA_TOOLKIT_NATIVE: native }), topics: [topic], config });
    }

    test('an idle consumer keeps its partitions, and goes on afterwards', async () => {
      const told = await watch(async (consumer) => {
        await sleep(7_000);
        enqueueAutoCommits(consumer, await consumeMessage(consumer));
      });
      assert.deepEqual(told, []);
    });

    test('a busy one does, whose every poll finds records', async () => {
      let records = 0;
      const told = await watch(async (consumer) => {
        for (const deadline = Date.now() + 7_000; Date.now() < deadline && records < 190; records++) {
          enqueueAutoCommits(consumer, await consumeMessage(consumer));
          await sleep(35);
        }
      });
      assert.deepEqual(told, []);
      // On a machine that is busy itself they are fewer.
      assert.ok(records > 20, `${records} records`);
    });

    test('without polls it would lose them: the limit is real', async () => {
      await using services = await startServices();
      const topic = await services.topic('poll');
      await fill(services, topic, 1);
      await using consumer = await open(services, topic);
      await consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
      // A blocked event loop cannot poll.
      const end = Date.now() + 5_000;
      while (Date.now() < end);
      await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 5_000 }), { kafkaCode: MAX_POLL_EXCEEDED });
    });
  });
}
