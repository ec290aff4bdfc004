import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ConsumeError,
  type ConsumerEvents,
  type ConsumerHealth,
  FatalError,
  health,
  type ProducerEvents,
  type Stall,
} from 'rdkafka-toolkit';

/** A consumer as its probes see it. */
class FakeConsumer extends EventEmitter<ConsumerEvents> {
  readonly groupId = 'orders';
  partitions = 1;
  state: ConsumerHealth = { status: 'ok', stall: undefined };

  assignment(): { topic: string; partition: number }[] {
    return Array.from({ length: this.partitions }, (_, partition) => ({ topic: 't', partition }));
  }

  brokersAnswer(): Promise<boolean> {
    return Promise.resolve(true);
  }

  health(): ConsumerHealth {
    return this.state;
  }

  stall(stalledMs: number): void {
    const stall: Stall = { reason: 'handler', stalledMs, lagRecords: 7, inFlightRecords: 2 };
    this.state = { status: 'stalled', stall };
    this.emit('stalled', stall);
  }
}

/** A producer as its probes see it. */
class FakeProducer extends EventEmitter<ProducerEvents> {
  readonly closed: boolean;
  readonly fatalError: FatalError | undefined;
  brokersAnswering = true;
  asked = 0;

  constructor(state: { readonly closed?: boolean; readonly fatalError?: FatalError } = {}) {
    super();
    this.closed = state.closed ?? false;
    this.fatalError = state.fatalError;
  }

  async brokersAnswer(): Promise<boolean> {
    this.asked++;
    await sleep(1);
    return this.brokersAnswering;
  }
}

describe('liveness', () => {
  test('is given while clients are open, also when one is stalled for a while', () => {
    const consumer = new FakeConsumer();
    const { liveness } = health({ consumers: [consumer], producers: [new FakeProducer()] });
    const report = {
      ok: true,
      checks: [
        { name: 'consumer orders', ok: true },
        { name: 'producer', ok: true },
      ],
    };
    assert.deepEqual(liveness(), report);
    consumer.stall(300_000);
    assert.deepEqual(liveness(), report);
  });

  test('ends with a stall that lasts, which grows after it was told', async () => {
    const consumer = new FakeConsumer();
    const { liveness } = health({ consumers: [consumer], stallLimitMs: 1_050 });
    consumer.stall(1_000);
    await sleep(100);
    const [check] = liveness().checks;
    assert.equal(check!.ok, false);
    assert.match(check!.reason!, /no progress for 1 s \(handler\): 7 records wait, 2 are in flight/);
    consumer.state = { status: 'ok', stall: undefined };
    assert.equal(liveness().ok, true);
  });

  test('ends with a client that is closed or dead', () => {
    const consumer = new FakeConsumer();
    consumer.state = { status: 'closed', stall: undefined };
    assert.equal(health({ consumers: [consumer] }).liveness().ok, false);
    assert.equal(health({ producers: [new FakeProducer({ closed: true })] }).liveness().ok, false);
    const fatal = health({ producers: [new FakeProducer({ fatalError: new FatalError('fenced') })] }).liveness();
    assert.deepEqual(fatal, { ok: false, checks: [{ name: 'producer', ok: false, reason: 'fenced' }] });
  });
});

describe('readiness', () => {
  test('needs partitions, unless told otherwise, and progress', async () => {
    const consumer = new FakeConsumer();
    const { readiness } = health({ consumers: [consumer] });
    assert.equal((await readiness()).ok, true);
    consumer.partitions = 0;
    assert.match((await readiness()).checks[0]!.reason!, /no partition/);
    assert.equal((await health({ consumers: [consumer], needsPartitions: false }).readiness()).ok, true);
    consumer.partitions = 1;
    consumer.stall(1);
    assert.equal((await readiness()).ok, false);
  });

  test('needs a broker that answers, from the moment an outage is told until it is over', async () => {
    const producer = new FakeProducer();
    const { readiness } = health({ producers: [producer] });
    assert.deepEqual([(await readiness()).ok, producer.asked], [true, 0]);
    producer.brokersAnswering = false;
    producer.emit('clientError', new ConsumeError('all brokers are down', { kafkaCode: -187 }));
    const [{ ok, checks }] = await Promise.all([readiness(), readiness()]);
    assert.deepEqual([ok, checks.at(-1)], [false, { name: 'brokers', ok: false, reason: 'none of them answers' }]);
    assert.equal(producer.asked, 1);
    assert.equal((await health({ producers: [producer], needsBrokers: false }).readiness()).ok, true);
    producer.brokersAnswering = true;
    assert.deepEqual([(await readiness()).ok, (await readiness()).ok, producer.asked], [true, true, 2]);
  });

  test('needs every check to pass, and says why one does not', async () => {
    const { readiness } = health({
      checks: {
        registry: async () => undefined,
        refused: async () => Promise.reject(new TypeError('fetch failed')),
        throws: () => {
          throw new RangeError('at once');
        },
      },
    });
    assert.deepEqual(await readiness(), {
      ok: false,
      checks: [
        { name: 'registry', ok: true },
        { name: 'refused', ok: false, reason: 'fetch failed' },
        { name: 'throws', ok: false, reason: 'at once' },
      ],
    });
  });

  test('waits for no check longer than its deadline, and tells it to stop', async () => {
    let signal: AbortSignal | undefined;
    const { readiness } = health({
      checkTimeoutMs: 20,
      checks: {
        hanging: (given) => {
          signal = given;
          return new Promise(() => undefined);
        },
      },
    });
    const report = await readiness();
    assert.deepEqual(report.checks, [{ name: 'hanging', ok: false, reason: 'no answer within 20 ms' }]);
    assert.equal(signal!.aborted, true);
  });

  test('asks a check once for many probes, and again when its answer is old', async () => {
    let asked = 0;
    const count = async (): Promise<void> => {
      asked++;
      await sleep(5);
    };
    const often = health({ checks: { count } });
    await Promise.all([often.readiness(), often.readiness()]);
    await often.readiness();
    assert.equal(asked, 1);
    const always = health({ checks: { count }, checkEveryMs: 0 });
    await always.readiness();
    await always.readiness();
    assert.equal(asked, 3);
  });
});
