import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parseRuntimeVars } from 'rdkafka-toolkit';
import { StreamAppWrapper, StreamHarness, startStatusServer, tumbling } from 'rdkafka-toolkit/stream';

const CHROMIUM = '/usr/bin/chromium';

/** An app that has handled something, whose names would be markup if they were not escaped. */
async function makeApp(): Promise<StreamAppWrapper> {
  const app = new StreamAppWrapper({ vars: parseRuntimeVars({ APP_NAME: 'counts & <script>alert(1)</script>' }) });
  const totals = app.table<string, number>('totals');
  const minutes = app.windowedTable<string, number, number>('minutes', {
    window: tumbling(60),
    initial: () => 0,
    add: (sum, item) => sum + item,
  });
  app.agent<string, number>(
    'in',
    ({ key, value }) => {
      totals.set(key, value);
      minutes.add('all', value);
    },
    { name: '<b>agent</b>' },
  );
  const harness = new StreamHarness(app);
  for (let value = 0; value < 1_234; value++) await harness.send('in', { key: `k${value}`, value });
  return app;
}

describe('the status page', () => {
  test('shows agents and tables, escapes names, and loads nothing', async () => {
    await using page = await startStatusServer(await makeApp(), { port: 0 });
    const response = await fetch(page.url);
    const html = await response.text();
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.match(html, /counts &amp; &lt;script&gt;/);
    assert.doesNotMatch(html, /<script|<b>agent|https?:|<img|<link/);
    await assert.rejects(startStatusServer(await makeApp(), { port: Number(new URL(page.url).port) }), /EADDRINUSE/);
  });

  test('is drawn by a browser', { skip: !existsSync(CHROMIUM) && 'chromium is not installed' }, async () => {
    await using page = await startStatusServer(await makeApp(), { port: 0 });
    const profile = await mkdtemp(join(tmpdir(), 'stream-status-'));
    try {
      const picture = process.env.STATUS_SCREENSHOT;
      const what = picture === undefined ? '--dump-dom' : `--screenshot=${picture}`;
      const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--window-size=1000,900'];
      const { stdout } = await promisify(execFile)(CHROMIUM, [...flags, `--user-data-dir=${profile}`, what, page.url], { timeout: 60_000 });
      if (picture !== undefined) return;
      assert.match(stdout, /<h2>Tables<\/h2>[\s\S]*<td[^>]*>totals<\/td><td[^>]*>–<\/td><td class="n ">1,234<\/td>/);
      assert.match(stdout, /<td[^>]*>minutes<\/td><td[^>]*>tumbling 60 s<\/td>/);
    } finally {
      await rm(profile, { recursive: true, force: true });
    }
  });
});
