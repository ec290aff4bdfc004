import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { consumeError } from '../../src/binding/consume-error.ts';
import type { RecordBatch } from '../../src/binding/record-batch.ts';
import type { RecordSource } from '../../src/binding/record-source.ts';
import type { Assignment } from '../../src/client/assignment.ts';
import type { ConsumerSettings, OffsetKeeper } from '../../src/client/consumer-settings.ts';
import { Fetcher } from '../../src/client/fetcher.ts';
import { TokenRefresher } from '../../src/client/token-refresher.ts';
import { kafkaCodes } from '../../src/kafka-codes.ts';

type Settings = Pick<ConsumerSettings<unknown, unknown, unknown>, 'missingTopics' | 'tokens'>;

/** Fetches once from a source that has an error, and then a batch. */
function fetcherOf(code: number, settings: Settings): { fetcher: Fetcher<unknown, unknown, unknown>; told: unknown[]; batches: unknown[] } {
  const [told, batches]: [unknown[], unknown[]] = [[], []];
  const answers = [() => Promise.reject(consumeError({ code, message: 'no' })), () => Promise.resolve({} as RecordBatch)];
  const source = { fetch: () => answers.shift()!() } as unknown as RecordSource<unknown, unknown, unknown>;
  const assignment = {
    buffer: { batches: 0, push: (batch: unknown) => batches.push(batch) },
    throttled: false,
    finishMoves: () => Promise.resolve(),
  } as unknown as Assignment<unknown, unknown, unknown>;
  const keeper = { settle: () => undefined } as unknown as OffsetKeeper;
  const all = { prefetchRecords: 100, maxPollIntervalMs: 300_000, ...settings };
  return { fetcher: new Fetcher(source, assignment, keeper, all, (error) => told.push(error)), told, batches };
}

const tokens = new TokenRefresher(() => ({ value: 'x', expiresAtMs: Date.now() + 60_000 }));

describe('an error instead of records', () => {
  const awaited: [string, number, Settings][] = [
    ['a refused sign-in of who has a tokenProvider', kafkaCodes.authentication, { missingTopics: 'fail', tokens }],
    ['a missing topic that is waited for', kafkaCodes.unknownTopicOrPartition, { missingTopics: 'wait', tokens: undefined }],
  ];
  for (const [name, code, settings] of awaited) {
    test(`${name} is told, and the next fetch goes on`, async () => {
      const { fetcher, told, batches } = fetcherOf(code, settings);
      await fetcher.fetch(0);
      assert.deepEqual(
        told.map((error) => (error as { kafkaCode: number }).kafkaCode),
        [code],
      );
      assert.equal(batches.length, 0);
      await fetcher.fetch(0);
      assert.equal(batches.length, 1);
    });
  }

  const failures: [string, number, Settings][] = [
    ['a refused password', kafkaCodes.authentication, { missingTopics: 'wait', tokens: undefined }],
    ['a missing topic', kafkaCodes.unknownTopicOrPartition, { missingTopics: 'fail', tokens }],
    ['a forbidden topic', kafkaCodes.topicAuthorizationFailed, { missingTopics: 'wait', tokens }],
  ];
  for (const [name, code, settings] of failures) {
    test(`${name} is a failure`, async () => {
      const { fetcher, told } = fetcherOf(code, settings);
      await assert.rejects(fetcher.fetch(0), { kafkaCode: code });
      assert.deepEqual(told, []);
    });
  }
});
