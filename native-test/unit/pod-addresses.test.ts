import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PodAddresses, type PodAddressesOptions } from '../../src/metrics/pod-addresses.ts';
import { DnsServer } from '../support/dns-server.ts';

function addressesOf(dns: DnsServer, options: Partial<PodAddressesOptions> = {}): PodAddresses {
  return new PodAddresses({
    host: 'metrics.test',
    family: 0,
    keepAddressesMs: 60_000,
    timeoutMs: 10_000,
    dnsServers: [dns.address],
    ...options,
  });
}

describe('addresses of the pods of a metrics cache', () => {
  test('are all A and AAAA records of the service', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1', '127.0.0.2'], aaaa: ['::1', 'fd00::a:1'] });
    const { addresses, failure } = await addressesOf(dns).resolve();
    assert.deepEqual([...addresses].sort(), ['127.0.0.1', '127.0.0.2', '::1', 'fd00::a:1'].sort());
    assert.equal(failure, undefined);
  });

  test('are of one family when only that is asked for', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'], aaaa: ['::1'] });
    assert.deepEqual((await addressesOf(dns, { family: 4 }).resolve()).addresses, ['127.0.0.1']);
    assert.deepEqual((await addressesOf(dns, { family: 6 }).resolve()).addresses, ['::1']);
  });

  test('may be of IPv6 alone', async () => {
    await using dns = await DnsServer.start({ aaaa: ['::1'] });
    assert.deepEqual(await addressesOf(dns).resolve(), { addresses: ['::1'], failure: undefined });
  });

  test('of an IP literal are that, and no server is asked', async () => {
    await using dns = await DnsServer.start({});
    for (const [host, address] of [
      ['10.1.2.3', '10.1.2.3'],
      ['::1', '::1'],
      ['[::1]', '::1'],
    ] as const) {
      assert.deepEqual(await addressesOf(dns, { host }).resolve(), { addresses: [address], failure: undefined });
    }
    assert.equal(dns.questions, 0);
  });

  test('are kept for their time to live, and asked for again after it', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'], ttlSeconds: 60 });
    const kept = addressesOf(dns, { family: 4 });
    await kept.resolve();
    dns.answers = { a: ['127.0.0.2'], ttlSeconds: 0 };
    assert.deepEqual((await kept.resolve()).addresses, ['127.0.0.1']);
    assert.equal(dns.questions, 1);
    const asked = addressesOf(dns, { family: 4 });
    assert.deepEqual((await asked.resolve()).addresses, ['127.0.0.2']);
    dns.answers = { a: ['127.0.0.3', '127.0.0.4'] };
    assert.deepEqual([...(await asked.resolve()).addresses].sort(), ['127.0.0.3', '127.0.0.4']);
  });

  test('are resolved once however many ask at a time', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
    const addresses = addressesOf(dns, { family: 4 });
    await Promise.all([addresses.resolve(), addresses.resolve(), addresses.resolve()]);
    assert.equal(dns.questions, 1);
  });

  const failures = [
    { title: 'there is no such name', answers: { code: 3 }, failure: 'dns_empty' },
    { title: 'the name has no addresses', answers: {}, failure: 'dns_empty' },
    { title: 'the server fails', answers: { code: 2 }, failure: 'dns_eservfail' },
  ];
  for (const { title, answers, failure } of failures) {
    test(`stay in use for a while when ${title}, which is told`, async () => {
      await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
      const addresses = addressesOf(dns, { keepAddressesMs: 60_000 });
      await addresses.resolve();
      dns.answers = answers;
      assert.deepEqual(await addresses.resolve(), { addresses: ['127.0.0.1'], failure });
      assert.deepEqual(await addresses.resolve(), { addresses: ['127.0.0.1'], failure });
      dns.answers = { a: ['127.0.0.9'] };
      assert.deepEqual(await addresses.resolve(), { addresses: ['127.0.0.9'], failure: undefined });
    });

    test(`are given up in the end when ${title}`, async () => {
      await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
      const addresses = addressesOf(dns, { keepAddressesMs: 1 });
      await addresses.resolve();
      dns.answers = answers;
      await sleep(5);
      assert.deepEqual(await addresses.resolve(), { addresses: [], failure });
    });
  }

  test('stay in use while the server does not answer', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
    const addresses = addressesOf(dns, { timeoutMs: 200, family: 4 });
    await addresses.resolve();
    dns.answers = { silent: true };
    assert.deepEqual(await addresses.resolve(), { addresses: ['127.0.0.1'], failure: 'dns_etimeout' });
  });

  test('known before are given at once where a server that hangs would keep a push waiting', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
    const addresses = addressesOf(dns, { family: 4, timeoutMs: 2_000 });
    assert.deepEqual(await addresses.resolveSoon(1), { addresses: ['127.0.0.1'], failure: undefined });
    dns.answers = { silent: true };
    assert.deepEqual(await addresses.resolveSoon(10), { addresses: ['127.0.0.1'], failure: 'dns_slow' });
  });

  test('of a family whose question fails are kept beside new ones of the other', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'], aaaa: ['::1'] });
    const addresses = addressesOf(dns);
    await addresses.resolve();
    dns.answers = { a: ['127.0.0.2'], codeOfAaaa: 2 };
    const { addresses: found, failure } = await addresses.resolve();
    assert.deepEqual([...found].sort(), ['127.0.0.2', '::1']);
    assert.equal(failure, 'dns_eservfail');
  });

  test('of a family that has none any more are dropped', async () => {
    await using dns = await DnsServer.start({ a: ['127.0.0.1'], aaaa: ['::1'] });
    const addresses = addressesOf(dns);
    await addresses.resolve();
    dns.answers = { a: ['127.0.0.1'] };
    assert.deepEqual(await addresses.resolve(), { addresses: ['127.0.0.1'], failure: undefined });
  });

  test('are those of the system when DNS knows none: names of /etc/hosts and of search domains', async () => {
    const asked: string[] = [];
    const addresses = new PodAddresses({
      // Not to be found by any server (RFC 6761).
      host: 'metrics.invalid',
      family: 0,
      keepAddressesMs: 60_000,
      timeoutMs: 500,
      dnsServers: undefined,
      lookup: async (host) => {
        asked.push(host);
        return ['10.0.0.1', 'fd00::1'];
      },
    });
    assert.deepEqual(await addresses.resolve(), { addresses: ['10.0.0.1', 'fd00::1'], failure: undefined });
    assert.deepEqual(asked, ['metrics.invalid']);
  });

  test('are none, and never an exception, when nobody knows the service', async () => {
    const addresses = new PodAddresses({
      host: 'metrics.invalid',
      family: 0,
      keepAddressesMs: 60_000,
      timeoutMs: 500,
      dnsServers: undefined,
      lookup: () => Promise.reject(new RangeError('no')),
    });
    const { addresses: found, failure } = await addresses.resolve();
    assert.deepEqual(found, []);
    assert.match(failure!, /^dns_/);
  });
});
