import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parseRuntimeVars, runtimeVarTable } from 'rdkafka-toolkit';

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

describe('the manifests of examples/deploy', () => {
  const service = read('examples/deploy/service.yaml');
  const settings = [.../^data:\n((?: {2}.*\n)+)/m.exec(service)![1]!.matchAll(/^ {2}(\w+): "?([^"\n]+)"?$/gm)].map((match) => [
    match[1]!,
    match[2]!,
  ]);

  test('set runtime variables that there are, to values that they take', () => {
    assert.ok(settings.length >= 8);
    const own = settings.filter(([name]) => name !== 'UV_THREADPOOL_SIZE');
    assert.deepEqual(
      own.filter(([name]) => !(name! in runtimeVarTable)),
      [],
    );
    assert.equal(parseRuntimeVars(Object.fromEntries(own) as Record<string, string>).CONSUMER_STATIC_MEMBERSHIP, false);
  });

  test('give a service more time to end than it takes itself', () => {
    const grace = Number(/terminationGracePeriodSeconds: (\d+)/.exec(service)![1]);
    const { SHUTDOWN_TIMEOUT_SECONDS: own } = parseRuntimeVars(Object.fromEntries(settings) as Record<string, string>);
    assert.ok(grace > own, `${grace} s of grace, ${own} s to shut down`);
  });

  test('run as the user of the image, on a read-only file system', () => {
    const user = /^USER (\d+):\d+$/m.exec(read('Dockerfile'))![1];
    assert.match(service, new RegExp(`runAsUser: ${user}\\b`));
    assert.match(service, /readOnlyRootFilesystem: true/);
  });

  test('let the metrics cache forget what it has when it ends', () => {
    assert.match(read('examples/deploy/metrics-cache.yaml'), /"--persistence\.file="/);
  });
});
