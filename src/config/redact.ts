import { findLibrdkafkaKeyFolded } from './librdkafka-keys.ts';

/** What stands in place of a secret. */
export const redactedMark = '[redacted]';

/** The part of a URL that holds who signs in: everything between `scheme://` and the last `@` before the path. */
const urlCredentials: RegExp = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi;
const privateKeyBlock: RegExp = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?-----END \1-----/g;
/** For names outside librdkafka's table, where only the name can tell. */
const secretName: RegExp = /pass(?:word|phrase|wd)|secret|token$|credential|private|api[-_.]?key|\.pem$|^authorization$/i;

/** True when the value of a setting or environment variable of this name must not be shown. */
export function isSensitiveName(name: string): boolean {
  const key = findLibrdkafkaKeyFolded(name);
  return key === undefined ? secretName.test(name) : key.sensitive === true;
}

/**
 * A copy of `settings` that may be logged: values of sensitive settings become `[redacted]`, and so does `user:password` inside
 * URLs. Settings librdkafka does not know are judged by their name.
 *
 * @example
 * logger.info(redactConfig(settings)); // { 'sasl.password': '[redacted]', 'linger.ms': 5 }
 */
export function redactConfig(settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // fromEntries defines each name as its own property, `__proto__` too, where an assignment would replace the prototype.
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, redactValue(name, value)]));
}

function redactValue(name: string, value: unknown): unknown {
  if (value === undefined || value === null || value === '') return value;
  if (isSensitiveName(name)) return redactedMark;
  return typeof value === 'string' ? redactText(value, []) : value;
}

/**
 * `text` without the given secrets, `user:password@` of URLs and private keys in PEM form. Secrets are found as they are and
 * percent-encoded; the longest goes first, so that one inside another leaves nothing behind.
 */
export function redactText(text: string, secrets: Iterable<string>): string {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret === '') continue;
    forms.add(secret);
    // toWellFormed: encodeURIComponent throws on half a surrogate pair.
    forms.add(encodeURIComponent(toWellFormed(secret)));
  }
  let clean = text.replace(privateKeyBlock, redactedMark).replace(urlCredentials, `$1${redactedMark}@`);
  if (forms.size === 0) return clean;
  const longestFirst = [...forms].sort((left, right) => right.length - left.length).map(escapePattern);
  clean = clean.replace(new RegExp(longestFirst.join('|'), 'g'), redactedMark);
  return clean;
}

function toWellFormed(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
