import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PodPusher, type PushTarget } from '../../src/metrics/pod-pusher.ts';
import { groupPath } from '../../src/metrics/pod-request.ts';
import { PushCounts } from '../../src/metrics/push-counts.ts';
import { freePorts } from '../services/ports.ts';
import { FakePod, type PodBehaviour } from '../support/fake-pod.ts';
import { until } from '../support/until.ts';

/** Short, so that backoff is soon over; the deadline of a pod is much longer than the interval. */
const INTERVAL_MS = 20;
const TIMEOUT_MS = 600;

interface Setting {
  readonly pods: readonly FakePod[];
  readonly pusher: PodPusher;
  readonly counts: PushCounts;
  readonly addresses: readonly string[];
  push(text: string, last?: boolean): Promise<void>;
}

/** Pods on 127.0.0.1, 127.0.0.2 … at one port, as those of a StatefulSet have one. */
async function withPods(
  behaviours: readonly (PodBehaviour | 'down')[],
  work: (setting: Setting) => Promise<void>,
  options: Partial<PushTarget> = {},
): Promise<void> {
  const [podPort] = (await freePorts(1)) as [number];
  const addresses = behaviours.map((_, index) => `127.0.0.${index + 1}`);
  const pods: FakePod[] = [];
  const counts = new PushCounts();
  const target: PushTarget = {
    host: 'unused',
    podPort,
    path: '/metrics/job/j/instance/i',
    timeoutMs: TIMEOUT_MS,
    concurrency: 16,
    family: 0,
    keepAddressesMs: 0,
    dnsServers: undefined,
    ...options,
  };
  const pusher = new PodPusher(target, INTERVAL_MS, counts);
  try {
    for (const [index, behaviour] of behaviours.entries()) {
      if (behaviour !== 'down') pods.push(await FakePod.start(addresses[index]!, podPort, behaviour));
    }
    const push = async (text: string, last = false): Promise<void> => {
      pusher.push({ addresses, failure: undefined }, Buffer.from(text), { last });
      await pusher.idle();
    };
    await work({ pods, pusher, counts, addresses, push });
  } finally {
    pusher.close();
    await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()));
  }
}

describe('a push', () => {
  test('reaches every pod, as a PUT of text to the group', () =>
    withPods([200, 202], async ({ pods, counts, push }) => {
      await push('a 1\n');
      for (const pod of pods) {
        assert.equal(pod.calls.length, 1);
        const { method, path, body, contentType } = pod.calls[0]!;
        assert.deepEqual([method, path, body], ['PUT', '/metrics/job/j/instance/i', 'a 1\n']);
        assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
      }
      const { pushes, failures, targets, lastSuccessSeconds, durationSeconds } = counts.status!;
      assert.deepEqual({ pushes, failures, targets }, { pushes: 2, failures: {}, targets: 2 });
      assert.ok(lastSuccessSeconds > 1_700_000_000 && durationSeconds > 0);
    }));

  const failing: readonly (readonly [title: string, behaviour: PodBehaviour | 'down', reason: string])[] = [
    ['is down', 'down', 'econnrefused'],
    ['hangs', 'hang', 'timeout'],
    ['answers 400', 400, 'http_400'],
    ['answers 500', 500, 'http_500'],
    ['answers with a redirect, which is not followed', 307, 'http_307'],
  ];
  for (const [title, behaviour, reason] of failing) {
    test(`reaches the other pods when one ${title}, and counts why that one did not`, () =>
      withPods([200, behaviour, 200], async ({ pods, counts, push }) => {
        await push('a 1\n');
        const { pushes, failures } = counts.status!;
        assert.deepEqual({ pushes, failures }, { pushes: 2, failures: { [reason]: 1 } });
        for (const pod of pods.filter((each) => each.behaviour === 200)) assert.deepEqual(pod.pushes, ['a 1\n']);
      }));
  }

  test('to a pod that hangs for many intervals holds up none of the others, and never overlaps another to it', () =>
    withPods([200, 'hang'], async ({ pods, counts, pusher, addresses }) => {
      const [good, hanging] = pods as [FakePod, FakePod];
      await until('five pushes to the pod that answers while the other hangs', () => {
        pusher.push({ addresses, failure: undefined }, Buffer.from('a 1\n'));
        return good.pushes.length >= 5 && hanging.calls.length > 0;
      });
      assert.equal(hanging.concurrent, 1);
      assert.ok(counts.status!.skipped > 0);
      await pusher.idle();
    }));

  test('leaves a pod that keeps failing out for a while, and comes back to it', () =>
    withPods(['down'], async ({ counts, push, pusher, addresses }) => {
      // The second failure in a row starts the waiting.
      await push('a 1\n');
      await push('a 1\n');
      await push('a 1\n');
      assert.deepEqual(counts.status!.failures, { econnrefused: 2 });
      assert.equal(counts.status!.skipped, 1);
      await until('a third try', () => {
        pusher.push({ addresses, failure: undefined }, Buffer.from('a 1\n'));
        return counts.status!.failures.econnrefused === 3;
      });
      // The last push of a service leaves none out.
      await push('a 1\n', true);
      assert.equal(counts.status!.failures.econnrefused, 4);
    }));

  test('that is the last goes to a pod that is busy as soon as it is free, to the others at once', () =>
    withPods([200, 'hang'], async ({ pods, pusher, addresses }) => {
      const [good, hanging] = pods as [FakePod, FakePod];
      const known = { addresses, failure: undefined };
      pusher.push(known, Buffer.from('a 1\n'));
      await until('the pod that hangs to be busy and the other free', () => hanging.calls.length === 1 && good.pushes.length === 1);
      await until('the last push at the free pod', () => {
        // It may still be at its answer.
        pusher.push(known, Buffer.from('a 2\n'), { last: true });
        return good.pushes.includes('a 2\n');
      });
      assert.equal(hanging.calls.length, 1);
      hanging.behaviour = 200;
      await pusher.idle();
      assert.deepEqual(hanging.pushes, ['a 1\n', 'a 2\n']);
    }));

  test('goes to so many pods at once as are allowed', () =>
    withPods(
      [200, 200, 200],
      async ({ pods, push }) => {
        await push('a 1\n');
        for (const pod of pods) assert.deepEqual(pod.pushes, ['a 1\n']);
        const times = pods.map(({ calls }) => calls[0]!.at);
        assert.deepEqual(
          times,
          [...times].sort((a, b) => a - b),
        );
      },
      { concurrency: 1 },
    ));

  test('counts what the resolution told, and drops pods that are gone', () =>
    withPods([200, 200], async ({ pods, counts, pusher }) => {
      pusher.push({ addresses: ['127.0.0.1', '127.0.0.2'], failure: undefined }, Buffer.from('a 1\n'));
      await pusher.idle();
      pusher.push({ addresses: ['127.0.0.2'], failure: 'dns_eservfail' }, Buffer.from('a 2\n'));
      await pusher.idle();
      assert.deepEqual(
        pods.map(({ pushes }) => pushes),
        [['a 1\n'], ['a 1\n', 'a 2\n']],
      );
      assert.deepEqual(counts.status!.failures, { dns_eservfail: 1 });
      assert.equal(counts.status!.targets, 1);
    }));

  test('removes the group from every pod when asked to', () =>
    withPods([202, 202], async ({ pods, pusher, push }) => {
      await push('a 1\n');
      await pusher.remove();
      for (const { calls } of pods)
        assert.deepEqual(
          calls.map(({ method }) => method),
          ['PUT', 'DELETE'],
        );
    }));
});

describe('the path of a group', () => {
  const paths: readonly (readonly [grouping: Record<string, string>, path: string])[] = [
    [{ job: 'orders-0', instance: 'orders-0' }, '/metrics/job/orders-0/instance/orders-0'],
    [{ job: 'a b%c?d#e', instance: 'ü' }, '/metrics/job/a%20b%25c%3Fd%23e/instance/%C3%BC'],
    [{ job: 'a/b', instance: '' }, `/metrics/job@base64/${Buffer.from('a/b').toString('base64url')}/instance@base64/=`],
  ];
  for (const [grouping, path] of paths) test(`is ${path}`, () => assert.equal(groupPath(grouping), path));
});
