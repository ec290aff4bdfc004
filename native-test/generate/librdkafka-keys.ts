/**
 * Writes the table in `src/config/librdkafka-keys.ts` from the `CONFIGURATION.md` of the librdkafka that node-rdkafka bundles.
 * Run after every update of node-rdkafka; `--check` writes nothing and exits with 1 when the table is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LibrdkafkaKey, LibrdkafkaKind, LibrdkafkaValue } from '../../src/config/librdkafka-keys.ts';

type Draft = { -readonly [Field in keyof LibrdkafkaKey]: LibrdkafkaKey[Field] };

const root = new URL('../../../', import.meta.url);
const binding = new URL('node_modules/node-rdkafka/', root);
const target = new URL('src/config/librdkafka-keys.ts', root);

const kinds: Readonly<Record<string, LibrdkafkaKind>> = {
  integer: 'integer',
  float: 'float',
  boolean: 'boolean',
  'enum value': 'enum',
  'CSV flags': 'flags',
  string: 'string',
  'pattern list': 'list',
  'see dedicated API': 'callback',
};

/** Settable though the document leaves them out (`_RK_HIDDEN` in rdkafka_conf.c); the mock cluster is among them. */
const hiddenKeys: readonly LibrdkafkaKey[] = [
  { name: 'client.software.name', scope: 'global', applies: 'both', kind: 'string' },
  { name: 'client.software.version', scope: 'global', applies: 'both', kind: 'string' },
  { name: 'enable.sparse.connections', scope: 'global', applies: 'both', kind: 'boolean', default: true },
  { name: 'test.mock.num.brokers', scope: 'global', applies: 'both', kind: 'integer', min: 0, max: 10000, default: 0 },
  { name: 'test.mock.broker.rtt', scope: 'global', applies: 'both', kind: 'integer', min: 0, max: 3600000, default: 0 },
];

/** `_RK_SENSITIVE` in rdkafka_conf.c less the paths of key files, which a fault must be able to name; aliases included. */
const sensitive: RegExp = /(?:password|passphrase|secret|key\.pem|^ssl\.ca\.pem|^sasl\.username|^sasl\.oauthbearer\.config)$/;

/** The table as it should be, in the document's order. */
export function readConfiguration(markdown: string): LibrdkafkaKey[] {
  const keys: LibrdkafkaKey[] = [];
  let scope: LibrdkafkaKey['scope'] = 'global';
  for (const line of markdown.split('\n')) {
    if (line.startsWith('## Topic')) scope = 'topic';
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (cells.length !== 6 || !/^[a-z_.]+$/.test(cells[0]!) || keys.some((key) => key.name === cells[0])) continue;
    keys.push(readRow(cells, scope));
  }
  return [...keys, ...hiddenKeys];
}

function readRow(cells: readonly string[], scope: LibrdkafkaKey['scope']): LibrdkafkaKey {
  const [name = '', applies = '', range = '', fallback = '', , text = ''] = cells;
  const kind = kinds[/\*Type: ([^*]+)\*$/.exec(text)?.[1] ?? ''];
  if (kind === undefined) throw new TypeError(`Expected the row of ${name} in CONFIGURATION.md to end in a known type`);
  const key: Draft = { name, scope, applies: applies === 'C' ? 'consumer' : applies === 'P' ? 'producer' : 'both', kind };
  const limits = /^(-?\d+) \.\. (-?\d+)$/.exec(range);
  if (limits !== null) {
    key.min = Number(limits[1]);
    key.max = Number(limits[2]);
  } else if (range !== '' && kind !== 'boolean') {
    key.values = range.split(', ');
  }
  if (name === 'partitioner') {
    key.kind = 'enum';
    key.values = [...text.matchAll(/`(\w+)` - /g)].map((match) => match[1]!);
  }
  if (text.includes('*-1* or *all*')) key.values = ['all'];
  if (fallback !== '') key.default = readDefault(kind, fallback.replaceAll('\\|', '|'));
  const alias = /Alias for `([^`]+)`/.exec(text)?.[1];
  if (alias !== undefined) key.aliasOf = alias;
  if (text.startsWith('**DEPRECATED**') || text.includes('** **DEPRECATED**')) key.deprecated = true;
  if (sensitive.test(name)) key.sensitive = true;
  return key;
}

function readDefault(kind: LibrdkafkaKind, text: string): LibrdkafkaValue {
  if (kind === 'integer' || kind === 'float') return Number(text);
  return kind === 'boolean' ? text === 'true' : text;
}

function renderKey(key: LibrdkafkaKey): string {
  const quote = (value: unknown): string =>
    typeof value === 'string' ? `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'` : String(value);
  const fields = Object.entries(key).map(([field, value]) => {
    return `${field}: ${Array.isArray(value) ? `[${value.map(quote).join(', ')}]` : quote(value)}`;
  });
  return `  { ${fields.join(', ')} },`;
}

/** The source file with the table between its marks replaced. */
export function renderKeys(source: string, markdown: string, version: string): string {
  const table = [
    `/** Version of librdkafka the table was taken from. */`,
    `export const librdkafkaKeysVersion = '${version}';`,
    '',
    `/** Every configuration property; where a name is in both tables of the document, the global one. */`,
    '// biome-ignore format: one row a line reads better, and the generator writes it so.',
    'export const librdkafkaKeys: readonly LibrdkafkaKey[] = [',
    ...readConfiguration(markdown).map(renderKey),
    '];',
  ].join('\n');
  return source.replace(/(\/\/ <generated [^\n]*\n)[\s\S]*?(\/\/ <\/generated>)/, (_, open: string, close: string) => {
    return `${open}\n${table}\n\n${close}`;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const source = readFileSync(target, 'utf8');
  const manifest = JSON.parse(readFileSync(new URL('package.json', binding), 'utf8')) as { librdkafka: string };
  const markdown = readFileSync(new URL('deps/librdkafka/CONFIGURATION.md', binding), 'utf8');
  const rendered = renderKeys(source, markdown, manifest.librdkafka);
  if (!process.argv.includes('--check')) writeFileSync(target, rendered);
  else if (rendered !== source) {
    process.stderr.write('src/config/librdkafka-keys.ts is stale: run dist/native-test/generate/librdkafka-keys.js\n');
    process.exitCode = 1;
  }
}
