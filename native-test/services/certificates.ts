import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './run-command.ts';

/** Opens the client's private key. */
export const keyPassword = 'client-key-secret';

/** Files of throw-away certificates, PEM. */
export interface Certificates {
  /** The authority that signed the brokers' and the client's certificates. */
  readonly ca: string;
  /** One that signed nothing. */
  readonly otherCa: string;
  /** Private key and certificate for 127.0.0.1, not for localhost. */
  readonly brokerKeystore: string;
  readonly clientCertificate: string;
  /** Encrypted with {@link keyPassword}. */
  readonly clientKey: string;
}

/** Makes them in a folder of its own below `directory`. @throws {ServiceError} without the openssl command */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const home = join(directory, 'certificates');
  mkdirSync(home);
  const file = (name: string): string => join(home, name);
  const openssl = (...args: string[]): Promise<void> =>
    runCommand('openssl', args, { purpose: 'make certificates', missingHint: 'Install openssl.', timeoutMs: 20_000 });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const authority = (name: string): Promise<void> =>
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.pem`),
    );
  const signed = async (name: string, extension: string, protection: readonly string[]): Promise<void> => {
    await openssl('req', ...newKey, ...protection, '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
    writeFileSync(file(`${name}.ext`), extension);
    const issuer = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial'];
    await openssl(
      'x509',
      '-req',
      ...issuer,
      '-days',
      '2',
      '-in',
      file(`${name}.csr`),
      '-extfile',
      file(`${name}.ext`),
      '-out',
      file(`${name}.pem`),
    );
  };
  await Promise.all([authority('ca'), authority('other-ca')]);
  await signed('broker', 'subjectAltName=IP:127.0.0.1\n', ['-nodes']);
  await signed('client', 'extendedKeyUsage=clientAuth\n', ['-passout', `pass:${keyPassword}`]);
  writeFileSync(file('broker-keystore.pem'), readFileSync(file('broker.key'), 'utf8') + readFileSync(file('broker.pem'), 'utf8'));
  return {
    ca: file('ca.pem'),
    otherCa: file('other-ca.pem'),
    brokerKeystore: file('broker-keystore.pem'),
    clientCertificate: file('client.pem'),
    clientKey: file('client.key'),
  };
}
