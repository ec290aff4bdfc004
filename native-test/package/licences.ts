/**
 * Lists the licences of everything a production install brings, by package-lock.json, and fails for one that nobody has looked at. What they ask
 * for (their text beside their code) node_modules does by itself.
 */
import { readFileSync } from 'node:fs';

/** Permissive ones: they ask for no more than to be named. */
const accepted: ReadonlySet<string> = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'BlueOak-1.0.0']);

/** Those whose manifest does not say, as their own LICENSE file has it. */
const byFile: Readonly<Record<string, string>> = { '@kafkajs/confluent-schema-registry': 'MIT' };

interface Entry {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
}

const lock = JSON.parse(readFileSync(new URL('../../../package-lock.json', import.meta.url), 'utf8')) as {
  packages: Readonly<Record<string, Entry>>;
};
const installed = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && dev !== true);
const unknown: string[] = [];
for (const [path, entry] of installed) {
  const name = path.replace(/^.*node_modules\//, '');
  const { version, license = byFile[name] ?? 'none given' } = entry;
  process.stdout.write(`${license.padEnd(16)} ${name}@${version}\n`);
  // A choice is fine when one of it is.
  const choices = license.replaceAll(/[()]/g, '').split(' OR ');
  if (!choices.some((choice) => choice.split(' AND ').every((each) => accepted.has(each)))) unknown.push(`${name}: ${license}`);
}
process.stdout.write(`${installed.length} packages\n`);
if (unknown.length > 0) {
  process.stderr.write(`Licences nobody has looked at:\n${unknown.map((line) => `  ${line}\n`).join('')}`);
  process.exitCode = 1;
}
