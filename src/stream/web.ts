import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../errors.ts';
import type { StreamAppWrapper } from './app.ts';
import type { StreamStatus } from './status.ts';

/** Options of {@link startStatusServer}. */
export interface StatusServerOptions {
  readonly port: number;
  /** The page shows what the app does to whoever reaches it. @default '127.0.0.1' */
  readonly host?: string | undefined;
}

/** A status page that is served. */
export interface StatusServer extends AsyncDisposable {
  readonly url: string;
  close(): Promise<void>;
}

type App = Pick<StreamAppWrapper, 'status'>;

/** A handler of node:http, and of every framework that takes one: the page at `/`, the same as JSON at `/status.json`. */
export function statusHandler(app: App): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async ({ method, url = '/' }, response) => {
    const { pathname } = new URL(url, 'http://status');
    if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    if (pathname !== '/' && pathname !== '/status.json') {
      response.writeHead(404).end();
      return;
    }
    const status = await app.status();
    const isPage = pathname === '/';
    const body = isPage ? statusPage(status) : JSON.stringify(status);
    response.writeHead(200, {
      'content-type': isPage ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    });
    response.end(method === 'HEAD' ? undefined : body);
  };
}

/** Serves an app's status page. @throws ConfigError when the address cannot be listened at */
export async function startStatusServer(app: App, { host = '127.0.0.1', port }: StatusServerOptions): Promise<StatusServer> {
  const handler = statusHandler(app);
  const server = createServer((request, response) => {
    handler(request, response).catch(() => {
      // What went wrong is not for whoever asks.
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new ConfigError([`Expected the status page to have ${host}:${port} for itself: ${(cause as Error).message}`], { cause });
  }
  // The page alone keeps no process alive.
  server.unref();
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const { address, family, port: bound } = server.address() as AddressInfo;
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`, close, [Symbol.asyncDispose]: close };
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --faint: light-dark(#667, #99a); --bad: light-dark(#b00020, #ff7b8a); --good: light-dark(#0a7d33, #6fd08c); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { color: var(--faint); margin: .2rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--faint); } .n { text-align: right; } .bad { color: var(--bad); } .good { color: var(--good); }
`;

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const inText = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character]!);
const whole = new Intl.NumberFormat('en');

/** Text of a cell; numbers stand to the right. */
function cell(value: string | number | undefined, kind = ''): string {
  const isNumber = typeof value === 'number';
  const text = value === undefined ? '–' : isNumber ? whole.format(value) : inText(value);
  return `<td class="${isNumber ? 'n ' : ''}${kind}">${text}</td>`;
}

function table(id: string, title: string, heads: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  const head = heads.map((name) => `<th${name.endsWith('#') ? ' class="n"' : ''}>${inText(name.replace('#', ''))}</th>`).join('');
  const body = rows.map((cells) => `<tr>${cells.join('')}</tr>`).join('\n');
  const content =
    rows.length === 0 ? `<p>${inText(empty)}</p>` : `<table><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table>`;
  return `<section id="${id}"><h2>${inText(title)}</h2>\n${content}</section>`;
}

/** The page, complete in itself: it loads nothing, and again every five seconds. */
export function statusPage({
  agents,
  app,
  errors,
  guarantee,
  partitions,
  recoveredRecords,
  running,
  tables,
  uptimeSeconds,
}: StreamStatus): string {
  const state = running ? '<span class="good">running</span>' : '<span class="bad">not running</span>';
  const lag = partitions.reduce((sum, { lagRecords = 0 }) => sum + lagRecords, 0);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>${inText(app)}</title>
<style>${STYLE}</style>
<h1>${inText(app)}</h1>
<p>${state} for ${whole.format(uptimeSeconds)} s · ${inText(guarantee)} · ${partitions.length} partitions, ${whole.format(lag)} records behind · ${whole.format(recoveredRecords)} records recovered</p>
${table(
  'agents',
  'Agents',
  ['agent', 'topic', 'records#', 'errors#'],
  agents.map(({ errors: failed, handled, name, topic }) => [cell(name), cell(topic), cell(handled), cell(failed, failed > 0 ? 'bad' : '')]),
  'none',
)}
${table(
  'partitions',
  'Partitions',
  ['topic', 'partition#', 'lag#'],
  partitions.map(({ lagRecords, partition, topic }) => [cell(topic), cell(partition), cell(lagRecords)]),
  'none at present',
)}
${table(
  'tables',
  'Tables',
  ['table', 'window', 'keys#', 'late#', 'shards'],
  tables.map(({ keys, late, name, shards, window }) => [
    cell(name),
    cell(window),
    cell(keys),
    cell(late),
    cell(shards.map(({ keys: own, partition, recovered }) => `${partition}: ${recovered ? whole.format(own) : 'being read'}`).join(', ')),
  ]),
  'none',
)}
${table(
  'errors',
  'Latest errors',
  ['at', 'error'],
  errors.toReversed().map(({ at, message }) => [cell(new Date(at).toISOString()), cell(message, 'bad')]),
  'none',
)}
</html>
`;
}
