import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Stall } from 'rdkafka-toolkit';
import { StallWatchdog } from '../../src/delivery/stall-watchdog.ts';

const STALL_MS = 10_000;

/** A consumer and its offsets as the watchdog sees them; each test sets what it is about. */
function watch(onStall: 'report' | 'rejoin' = 'report') {
  const state = { lagRecords: 5 as number | Error, paused: false, starved: true, handedOver: 0, inFlightRecords: 0, awaitsOutputs: false };
  const seen = { stalls: [] as (Stall | undefined)[], blocked: [] as number[], rejoins: 0, lagQueries: 0 };
  const at = { topic: 'orders', partition: 0 };
  const consumer = {
    closed: false,
    get starved() {
      return state.starved;
    },
    paused: () => (state.paused ? [at] : []),
    parked: () => [],
    lag: async () => {
      seen.lagQueries++;
      if (state.lagRecords instanceof Error) throw state.lagRecords;
      return [{ ...at, lagRecords: state.lagRecords }];
    },
    emit: (_name: string, { blockedMs }: { blockedMs: number }) => seen.blocked.push(blockedMs) > 0,
    once: () => consumer,
    rejoin: () => void seen.rejoins++,
    setStall: (stall: Stall | undefined) => void seen.stalls.push(stall),
  };
  const manager = {
    settle: () => undefined,
    get handedOver() {
      return state.handedOver;
    },
    get inFlightRecords() {
      return state.inFlightRecords;
    },
    get awaitsOutputs() {
      return state.awaitsOutputs;
    },
  };
  const watchdog = new StallWatchdog(consumer as never, manager, { stallTimeoutMs: STALL_MS, onStall });
  const start = performance.now();
  return { state, seen, watchdog, look: (afterMs: number) => watchdog.look(start + afterMs) };
}

describe('the stall watchdog', () => {
  test('says that the brokers give nothing although there are records, once', async () => {
    const { seen, look } = watch();
    for (const ms of [1_000, 9_000]) await look(ms);
    assert.equal(seen.stalls.length, 0);
    for (const ms of [11_000, 12_000, 25_000]) await look(ms);
    assert.equal(seen.stalls.length, 1);
    const { stalledMs, ...stall } = seen.stalls[0]!;
    assert.deepEqual(stall, { reason: 'fetch', lagRecords: 5, inFlightRecords: 0 });
    assert.ok(Math.abs(stalledMs - 11_000) < 100, String(stalledMs));
    assert.equal(seen.lagQueries, 2, 'the brokers are asked once a timeout');
  });

  for (const [what, change, reason] of [
    ['the application takes no records', { starved: false }, 'handler'],
    ['a handler does not end', { inFlightRecords: 1 }, 'handler'],
    ['delivery reports are missing', { inFlightRecords: 3, awaitsOutputs: true }, 'outputs'],
    ['the brokers do not answer', { lagRecords: new Error('timed out') }, 'fetch'],
  ] as const) {
    test(`tells when ${what}`, async () => {
      const { state, seen, look } = watch();
      await look(0);
      Object.assign(state, change);
      await look(1_000);
      await look(12_000);
      assert.deepEqual(
        seen.stalls.map((stall) => [stall?.reason, stall?.lagRecords]),
        [[reason, 'lagRecords' in change ? undefined : 5]],
      );
    });
  }

  test('keeps still while there is nothing to do, or all is paused', async () => {
    for (const change of [{ lagRecords: 0 }, { paused: true }]) {
      const { state, seen, look } = watch();
      Object.assign(state, change);
      for (let ms = 1_000; ms < 60_000; ms += 1_000) await look(ms);
      assert.deepEqual(seen.stalls, []);
      assert.ok(seen.lagQueries <= 6);
    }
  });

  test('takes back what it said once records are handed over or finished', async () => {
    for (const recover of [{ handedOver: 3 }, { inFlightRecords: 1 }]) {
      const { state, seen, look } = watch();
      Object.assign(state, { inFlightRecords: 2, handedOver: 2 });
      await look(100);
      await look(11_000);
      assert.equal(seen.stalls.length, 1);
      Object.assign(state, recover);
      await look(12_000);
      assert.equal(seen.stalls.at(-1), undefined);
      assert.equal(seen.stalls.length, 2);
    }
  });

  test('joins the group again where it is told to, and only when the brokers are to blame', async () => {
    const { seen, look } = watch('rejoin');
    await look(11_000);
    assert.equal(seen.rejoins, 1);
    const busy = watch('rejoin');
    busy.state.inFlightRecords = 1;
    await busy.look(11_000);
    assert.deepEqual([busy.seen.stalls.length, busy.seen.rejoins], [1, 0]);
  });

  test('does not count the time in which the event loop was blocked', async () => {
    const { seen, watchdog, look } = watch();
    watchdog.eventLoopBlocked(30_000);
    assert.deepEqual(seen.blocked, [30_000]);
    await look(35_000);
    assert.deepEqual(seen.stalls, []);
    await look(41_000);
    assert.equal(seen.stalls.length, 1);
  });
});
