import assert from 'node:assert/strict';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { createConsumer, type HandlerCall, runAsync } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { fill } from '../support/topics.ts';

describe('diagnostics channels', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test("publish a consumer's events and the calls of its handler to who subscribed before the runner started", async () => {
    const topic = await services.topic('in');
    await fill(services, topic, 4);
    const told: string[] = [];
    const onAssigned = (message: unknown): void => {
      const { consumer, args } = message as { consumer: unknown; args: unknown[] };
      told.push(`assigned ${consumer === started} ${(args[0] as unknown[]).length}`);
    };
    const onClosed = (): number => told.push('closed');
    const calls: string[] = [];
    const note =
      (name: string) =>
      (call: HandlerCall): void =>
        void calls.push(`${name}${call.error === undefined ? '' : ` ${String(call.error)}`}`);
    const handlers = {
      start: note('start'),
      end: note('end'),
      asyncStart: note('asyncStart'),
      asyncEnd: note('asyncEnd'),
      error: note('error'),
    };
    const channel = tracingChannel<unknown, HandlerCall>('rdkafka-toolkit:handler');
    subscribe('rdkafka-toolkit:consumer:assigned', onAssigned);
    subscribe('rdkafka-toolkit:consumer:closed', onClosed);
    channel.subscribe(handlers);
    let started: unknown;
    try {
      const consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
      started = consumer;
      const stop = new AbortController();
      let handled = 0;
      const { consumed, skipped } = await runAsync({
        consumer,
        signal: stop.signal,
        handler: (_record) => {
          handled++;
          if (handled === 4) stop.abort();
          if (handled === 2) throw new RangeError('second');
          return handled === 3 ? Promise.resolve() : undefined;
        },
        onError: () => 'skip',
      });
      assert.deepEqual({ consumed, skipped }, { consumed: 4, skipped: 1 });
    } finally {
      channel.unsubscribe(handlers);
      unsubscribe('rdkafka-toolkit:consumer:assigned', onAssigned);
      unsubscribe('rdkafka-toolkit:consumer:closed', onClosed);
    }
    assert.deepEqual(calls, [
      'start',
      'end',
      'start',
      'error RangeError: second',
      'end RangeError: second',
      'start',
      'end',
      'asyncStart',
      'asyncEnd',
      'start',
      'end',
    ]);
    assert.equal(told[0], 'assigned true 4');
    assert.equal(told.at(-1), 'closed');
  });
});
