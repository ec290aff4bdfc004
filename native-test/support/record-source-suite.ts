import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createProducer, rawDeserializer } from 'rdkafka-toolkit';
import { ConsumerHandle } from '../../src/binding/consumer-handle.ts';
import { TopicTable } from '../../src/binding/pack.ts';
import type { RecordBatch } from '../../src/binding/record-batch.ts';
import type { RecordSource } from '../../src/binding/record-source.ts';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import { type Services, startServices } from './services.ts';

type Source = RecordSource<Buffer | null, Buffer | null, readonly { name: string; value: Buffer | null }[]>;

interface Opened extends AsyncDisposable {
  readonly source: Source;
  readonly table: TopicTable;
  readonly eofs: { partition: number; offset: number }[];
}

/** Opens the source under test over a consumer of the topics, and waits for its assignment. */
async function open(services: Services, topics: readonly string[], kind: Source['kind'], marksEnds: boolean): Promise<Opened> {
  const ignore = (): undefined => undefined;
  const eofs: Opened['eofs'] = [];
  let assigned = false;
  const settings = consumerSettings(services.vars(), { 'enable.partition.eof': marksEnds });
  const handle = new ConsumerHandle(routeConfig('consumer', settings), {
    onRebalance: (what) => {
      assigned ||= what === 'assigned';
      return undefined;
    },
    onOffsetCommit: ignore,
    onPartitionEof: ({ partition, offset }) => eofs.push({ partition, offset }),
    onError: ignore,
    onStatistics: ignore,
    onLog: ignore,
  });
  await handle.connect(services.bootstrapServers, 10_000, undefined);
  handle.subscribe(topics);
  const table = new TopicTable();
  const source: Source = handle.source(kind, table, { key: rawDeserializer, value: rawDeserializer, headers: undefined });
  assert.equal(source.kind, kind);
  const deadline = Date.now() + 20_000;
  while (!assigned && Date.now() < deadline) assert.equal(await source.fetch(1, 20), undefined, 'no record before the assignment');
  return { source, table, eofs, [Symbol.asyncDispose]: async () => void (await handle.disconnect(10_000)) };
}

/** What every source of records must do. The topic is empty when it is opened, so each test knows what is there. */
export function recordSourceSuite(kind: Source['kind'], { marksEnds }: { readonly marksEnds: boolean }): void {
  describe(`the ${kind} record source${marksEnds ? ', which marks the ends of partitions' : ''}`, () => {
    test('gives what was produced, field by field, in order, within its bounds', async () => {
      await using services = await startServices();
      const topic = await services.topic('source');
      await using opened = await open(services, [topic], kind, marksEnds);
      const { source, eofs } = opened;

      // Empty topic: waits its time out, no longer.
      const start = performance.now();
      assert.equal(await source.fetch(100, 300), undefined);
      const waited = performance.now() - start;
      assert.ok(waited >= 290 && waited < 600, `${waited} ms`);

      const producer = await createProducer({ vars: services.vars() });
      const sent = Array.from({ length: 1_000 }, (_, index) => ({
        topic,
        partition: index % 4,
        key: index % 5 === 0 ? null : Buffer.from(`key-${index}`),
        value: index % 7 === 0 ? null : index % 11 === 0 ? Buffer.alloc(0) : Buffer.alloc(index % 300, index),
        headers:
          index % 3 === 0
            ? [
                { name: 'h', value: `${index}` },
                { name: 'h', value: 'again' },
              ]
            : [],
        timestamp: 1_700_000_000_000 + index,
      }));
      for (const record of sent) await producer.enqueue(record);
      await producer.close();

      const received = new Map<number, number>();
      let count = 0;
      while (count < sent.length) {
        const batch: RecordBatch | undefined = await source.fetch(300, 5_000);
        assert.ok(batch !== undefined && batch.length >= 1 && batch.length <= 300);
        for (const record of batch) {
          const nth = received.get(record.partition) ?? 0;
          received.set(record.partition, nth + 1);
          const expected = sent[nth * 4 + record.partition]!;
          assert.equal(record.topic, topic);
          assert.equal(record.offset, nth);
          assert.deepEqual(record.key, expected.key);
          assert.deepEqual(record.value, expected.value);
          assert.equal(record.timestamp, expected.timestamp);
          assert.deepEqual(
            record.headers.map(({ name, value }) => ({ name, value: String(value) })),
            expected.headers,
          );
          count++;
        }
      }
      assert.equal(await source.fetch(10, 0), undefined);
      const ended = (): Set<number> => new Set(eofs.filter(({ offset }) => offset === 250).map(({ partition }) => partition));
      const giveUp = Date.now() + 10_000;
      while (marksEnds && ended().size < 4 && Date.now() < giveUp) assert.equal(await source.fetch(1, 100), undefined);
      assert.deepEqual(ended(), new Set(marksEnds ? [0, 1, 2, 3] : []));

      // A trickle: a fetch returns with what is there, however few.
      await using trickling = await createProducer({ vars: services.vars() });
      const trickle = setInterval(() => void trickling.enqueue({ topic, value: 'drop' }), 40);
      const before = performance.now();
      const drops = await source.fetch(1_000, 5_000);
      const took = performance.now() - before;
      clearInterval(trickle);
      assert.ok(drops !== undefined && drops.length < 100 && took < 4_000, `${drops?.length} records in ${took} ms`);
    });

    test('fetches ahead what a fetch would take, also for who cannot wait for it', async () => {
      await using services = await startServices();
      const topic = await services.topic('ahead');
      await using opened = await open(services, [topic], kind, marksEnds);
      const { source } = opened;
      assert.equal(await source.fetchAhead(100), undefined);
      assert.equal(source.finishAhead(), undefined);
      const sent = 20_000;
      await produce(services, sent, (index) => ({ topic, partition: index % 4, value: `${index}` }));

      const next = [0, 1, 2, 3];
      let count = 0;
      let hurried = 0;
      const check = (batch: RecordBatch | undefined): void => {
        for (const { partition, value } of batch ?? []) {
          assert.equal(String(value), String(next[partition]));
          next[partition]! += 4;
          count++;
        }
      };
      for (let turn = 0; count < sent; turn++) {
        const ahead = source.fetchAhead(100);
        const finished = turn % 3 === 0 ? source.finishAhead() : undefined;
        check(finished);
        if (finished !== undefined) hurried++;
        const batch = await ahead;
        check(batch);
        assert.ok(finished === undefined || batch === undefined, 'what was taken does not come again');
        if (finished === undefined && batch === undefined) check(await source.fetch(100, 5_000));
      }
      assert.equal(count, sent);
      assert.equal(source.finishAhead(), undefined);
      // At the first fetch of all nobody knows of a backlog, and its last one may be found late.
      assert.ok(kind === 'portable' ? hurried === 0 : hurried >= sent / 100 / 3 / 2, `${hurried} fetches finished`);
    });

    test('a close while it fetches ahead gives undefined', async () => {
      await using services = await startServices();
      const topic = await services.topic('ahead-close');
      await using opened = await open(services, [topic], kind, marksEnds);
      const { source } = opened;
      await produce(services, 1_000, () => ({ topic, value: 'x' }));
      assert.equal((await source.fetch(100, 5_000))?.length, 100);
      const ahead = source.fetchAhead(100);
      // The portable one is on its way back from a thread, with what it took.
      if (kind === 'packed') source.close();
      assert.equal((await ahead)?.length, kind === 'packed' ? undefined : 100);
    });

    test('topics that are met in another order than they are known have their own records', async () => {
      await using services = await startServices();
      const first = await services.topic('known');
      const second = await services.topic('met');
      await using opened = await open(services, [first, second], kind, marksEnds);
      const { source, table } = opened;
      await produce(services, 100, (index) => ({ topic: first, partition: 0, value: `first ${index}` }));
      for (let count = 0; count < 100; ) count += (await source.fetch(100 - count, 5_000))?.length ?? assert.fail('no record');
      await produce(services, 64, (index) => ({ topic: first, partition: 0, value: `first ${index}` }));
      // As much as was asked for: a backlog, as far as anyone can tell.
      for (let batch = await source.fetch(64, 5_000); batch?.length !== 64; batch = await source.fetch(64, 5_000)) {
        await produce(services, 64, (index) => ({ topic: first, partition: 0, value: `first ${index}` }));
      }
      await produce(services, 64, (index) => ({ topic: second, partition: 0, value: `second ${index}` }));
      await sleep(500);
      const ahead = source.fetchAhead(64);
      // Both are known before what is under way tells of the second.
      table.indexOf('another');
      const known = table.indexOf(second);
      let records = [...((await ahead) ?? [])];
      for (let tries = 0; records.length < 64 && tries < 10; tries++)
        records = records.concat([...((await source.fetch(64, 1_000)) ?? [])]);
      assert.equal(records.length, 64);
      for (const { topic, value } of records) assert.equal(topic, String(value).startsWith('second') ? second : first);
      assert.equal(table.indexOf(second), known);
    });
  });
}

async function produce(
  services: Services,
  count: number,
  recordOf: (index: number) => { topic: string; partition?: number; value: string },
): Promise<void> {
  await using producer = await createProducer({ vars: services.vars() });
  for (let index = 0; index < count; index++) await producer.enqueue(recordOf(index));
}
