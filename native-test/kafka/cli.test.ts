import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../cli/run-cli.ts';
import { type Services, startServices } from '../support/services.ts';
import { until } from '../support/until.ts';

/** What the mock cluster cannot show: it creates and deletes no topics on request, and looks nothing up by time. */
describe('the command line tool on Kafka', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  async function succeed(args: readonly string[], input = ''): Promise<string> {
    const { code, out, err } = await runCli(args, {
      env: { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers, SCHEMA_REGISTRY_URL: services.registryUrl },
      input,
    });
    assert.equal(code, 0, err);
    return out;
  }

  test('creates a topic, describes it, deletes it; a topic that exists is an error', { timeout: 120_000 }, async () => {
    const topic = `cli-${randomUUID().slice(0, 8)}`;
    assert.equal(
      await succeed(['topics', 'create', topic, '--partitions', '3', '--config', 'cleanup.policy=compact']),
      `created ${topic}\n`,
    );
    const again = await runCli(['topics', 'create', topic], { env: { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers } });
    assert.equal(again.code, 1);
    assert.match(again.err, /Cannot create topic cli-\w+: it is there already/);
    const [described] = JSON.parse(await succeed(['topics', 'describe', topic, '--json'])) as { partitions: unknown[] }[];
    assert.equal(described!.partitions.length, 3);
    assert.equal(await succeed(['topics', 'delete', topic, '--yes']), `deleted ${topic}\n`);
    // A broker may know it a moment longer.
    const gone = async (): Promise<boolean> =>
      (await runCli(['topics', 'describe', topic], { env: { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers } })).code === 3;
    await until(`${topic} is gone`, gone);
  });

  test('begins at a time', { timeout: 120_000 }, async () => {
    const topic = await services.topic('times');
    const lines = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'].map((timestamp) =>
      JSON.stringify({ value: timestamp.slice(0, 10), timestamp }),
    );
    await succeed(['produce', topic, '--json', '--partition', '0'], `${lines.join('\n')}\n`);
    const read = (from: string): Promise<string> => succeed(['consume', topic, '--from', from, '--end', '--value-only']);
    assert.equal(await read('2026-01-01T12:00:00Z'), '2026-01-02\n2026-01-03\n');
    assert.equal(await read('2027-01-01T00:00:00Z'), '');
  });

  test('doctor finds broker and registry; bench leaves no topic behind', { timeout: 120_000 }, async () => {
    const { findings } = JSON.parse(await succeed(['doctor', '--json'])) as { findings: { name: string; status: string }[] };
    const status = (name: string): string | undefined => findings.find((each) => each.name === name)?.status;
    assert.deepEqual([status('broker'), status('schema registry')], ['ok', 'ok']);
    const { consumed } = JSON.parse(await succeed(['bench', '--records', '1000', '--json'])) as { consumed: { records: number } };
    assert.equal(consumed.records, 1000);
    assert.doesNotMatch(await succeed(['topics', 'list']), /rdkafka-toolkit-bench-/);
  });
});
