import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import type { LibrdkafkaSettings } from './librdkafka-config.ts';
import type { LibrdkafkaValue } from './librdkafka-keys.ts';
import { redactText } from './redact.ts';

/** What an HTTPS client needs to trust a server and to show its own certificate: fields of node:tls's `SecureContextOptions`. */
export interface SslContext {
  /** Certificates of the authorities to trust, PEM. Undefined: those of Node itself. */
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
}

/** The variables of TLS and sign-in that {@link getSslContext} reads, and the clients. */
export type SecurityVars = Pick<
  RuntimeVars,
  | 'USE_SSL'
  | 'USE_SASL'
  | 'SASL_MECHANISM'
  | 'SASL_USERNAME'
  | 'SASL_PASSWORD'
  | 'SSL_CA_LOCATION'
  | 'SSL_CERTIFICATE_LOCATION'
  | 'SSL_KEY_LOCATION'
  | 'SSL_KEY_PASSWORD'
>;

type FileVariable = 'SSL_CA_LOCATION' | 'SSL_CERTIFICATE_LOCATION' | 'SSL_KEY_LOCATION';

/**
 * Reads the `SSL_*` files for HTTPS clients such as the schema registry's. `SSL_CA_LOCATION` may be a file or a directory of
 * `.pem`, `.crt` and `.cer` files; `probe`, librdkafka's word for the system's certificates, leaves the choice to Node.
 * Independent of `USE_SSL`, which is about the brokers. Reads synchronously: call it at start.
 *
 * @throws ConfigError naming variable and file when a file is missing, unreadable, or no certificate or key of the pair
 * @example
 * const agent = new https.Agent(getSslContext(vars));
 */
export function getSslContext(vars: SecurityVars): SslContext {
  const faults: string[] = [];
  const read = (variable: FileVariable, path: string | undefined): string | undefined => {
    try {
      return path === undefined ? undefined : readFileSync(path, 'utf8');
    } catch (error) {
      faults.push(fileFault(variable, path, error));
      return undefined;
    }
  };
  const authorities = vars.SSL_CA_LOCATION === 'probe' ? undefined : vars.SSL_CA_LOCATION;
  const files = listAuthorities(authorities, faults);
  const ca = files.map((path) => read('SSL_CA_LOCATION', path)).filter((text) => text !== undefined);
  const cert = read('SSL_CERTIFICATE_LOCATION', vars.SSL_CERTIFICATE_LOCATION);
  const key = read('SSL_KEY_LOCATION', vars.SSL_KEY_LOCATION);
  if (faults.length > 0) throw new ConfigError(faults);
  const context: SslContext = {
    ...(authorities === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(key === undefined || vars.SSL_KEY_PASSWORD === undefined ? {} : { passphrase: vars.SSL_KEY_PASSWORD }),
  };
  checkContext(vars, context);
  return context;
}

/** librdkafka's settings for TLS and SASL. `security.protocol` follows from `USE_SSL` and `USE_SASL`. */
export function securitySettings(vars: SecurityVars): LibrdkafkaSettings {
  const settings: Record<string, LibrdkafkaValue> = {
    'security.protocol': `${vars.USE_SASL ? 'sasl_' : ''}${vars.USE_SSL ? 'ssl' : 'plaintext'}`,
  };
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) settings[name] = value;
  };
  if (vars.USE_SSL) {
    add('ssl.ca.location', vars.SSL_CA_LOCATION);
    add('ssl.certificate.location', vars.SSL_CERTIFICATE_LOCATION);
    add('ssl.key.location', vars.SSL_KEY_LOCATION);
    add('ssl.key.password', vars.SSL_KEY_PASSWORD);
  }
  if (vars.USE_SASL) {
    add('sasl.mechanism', vars.SASL_MECHANISM);
    add('sasl.username', vars.SASL_USERNAME);
    add('sasl.password', vars.SASL_PASSWORD);
  }
  return settings;
}

/**
 * Looks whether the files of TLS are there, before librdkafka names one of its own settings.
 *
 * @throws ConfigError naming variable and file
 */
export function checkTlsFiles(vars: SecurityVars): void {
  if (!vars.USE_SSL) return;
  const faults: string[] = [];
  for (const variable of ['SSL_CA_LOCATION', 'SSL_CERTIFICATE_LOCATION', 'SSL_KEY_LOCATION'] as const) {
    const path = vars[variable];
    if (path === undefined || (variable === 'SSL_CA_LOCATION' && path === 'probe')) continue;
    try {
      accessSync(path, constants.R_OK);
    } catch (error) {
      faults.push(fileFault(variable, path, error));
    }
  }
  if (faults.length > 0) throw new ConfigError(faults);
}

function listAuthorities(location: string | undefined, faults: string[]): string[] {
  if (location === undefined) return [];
  try {
    if (!statSync(location).isDirectory()) return [location];
    const names = readdirSync(location).filter((name) => /\.(?:pem|crt|cer)$/i.test(name));
    if (names.length === 0) faults.push(`Expected SSL_CA_LOCATION to hold .pem, .crt or .cer files, got none in "${location}"`);
    return names.sort().map((name) => join(location, name));
  } catch (error) {
    faults.push(fileFault('SSL_CA_LOCATION', location, error));
    return [];
  }
}

/** Lets OpenSSL read the files now: otherwise a wrong passphrase shows up as a failed request much later. */
function checkContext(vars: SecurityVars, context: SslContext): void {
  try {
    createSecureContext(context);
  } catch (error) {
    const reason = redactText(error instanceof Error ? error.message : String(error), [vars.SSL_KEY_PASSWORD ?? '']);
    const used = [
      ['SSL_CA_LOCATION', vars.SSL_CA_LOCATION],
      ['SSL_CERTIFICATE_LOCATION', vars.SSL_CERTIFICATE_LOCATION],
      ['SSL_KEY_LOCATION', vars.SSL_KEY_LOCATION],
    ].filter(([, path]) => path !== undefined);
    const list = used.map(([variable, path]) => `${variable} "${path}"`).join(', ');
    throw new ConfigError([`Expected certificates and a key that belong together in ${list} (SSL_KEY_PASSWORD opens the key): ${reason}`]);
  }
}

function fileFault(variable: FileVariable, path: string | undefined, error: unknown): string {
  const reason = (error as NodeJS.ErrnoException).code ?? String(error);
  return `Expected ${variable} to name a readable file, got "${path}": ${reason}`;
}
