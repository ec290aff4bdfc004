import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runExample } from './run-example.ts';

const examples = [
  { name: 'sync-app', lastLine: /^sync-app: consumed 200, committed 200, invoices in the output topic 200$/ },
  { name: 'async-app', lastLine: /^async-app: consumed 500, invoices in the output topic 500$/ },
  { name: 'metrics-app', lastLine: /^metrics-app: in the metrics cache: consumed 500, produced 500$/ },
  { name: 'batch-upload', lastLine: /^batch-upload: consumed 450 in [1-9]\d* batches, orders in the store 450$/ },
  { name: 'pool-app', lastLine: /^pool-app: consumed 2000, produced 2000, skipped 0, invoices in the output topic 2000$/ },
  { name: 'retries', lastLine: /^retries: retried 60, dead letters 10, put back 10, invoices 100$/ },
  { name: 'fastify-forms', lastLine: /^fastify-forms: 202 × 32, 400 × 4, 401 × 4, records in the topic 32$/ },
  { name: 'express-forms', lastLine: /^express-forms: 202 × 32, 400 × 4, 401 × 4, records in the topic 32$/ },
  { name: 'duplicates-filter', lastLine: /^duplicates-filter: payments 500, of them unique 300, let through 300$/ },
  { name: 'word-counts', lastLine: /^word-counts: words 900, windows 39, wrong 0$/ },
  { name: 'stream-cluster', lastLine: /^stream-cluster: records 6000, keys 40, one of 3 killed, wrong counts 0$/ },
  { name: 'transactions', lastLine: /^transactions: consumed 500, produced 500, invoices in the output topic 500$/ },
];

// On the services of the environment, embedded ones without.
describe('the short examples', () => {
  for (const { name, lastLine } of examples) {
    test(`${name} handles every record and ends by itself`, async () => {
      const { exitCode, lines, errorLines } = await runExample(name, process.env);
      assert.deepEqual(errorLines, []);
      assert.match(lines.at(-1)!, lastLine);
      assert.equal(exitCode, 0);
    });
  }

  test('an example under the wrong commit setting ends with exit code 1 and names the variable', async () => {
    const { exitCode, errorLines } = await runExample('async-app', { ...process.env, DEBUG: '', CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
    assert.equal(exitCode, 1);
    assert.equal(errorLines.length, 1, errorLines.join('\n'));
    assert.match(errorLines[0]!, /^async-app: failed: .*CONSUMER_ENABLE_AUTO_COMMIT/);
  });
});
