import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { ConnectError } from '../errors.ts';
import { isAuthenticationCode, kafkaCodes } from '../kafka-codes.ts';
import {
  type Client,
  fromLibrdkafka,
  kafkaCodeOf,
  type Metadata,
  type RawConsumer,
  type RawError,
  type RawProducer,
} from './node-rdkafka.ts';

/** Time given to one metadata request, so that a refused sign-in is noticed between two and the process can end. */
const METADATA_SLICE_MS = 1_000;

export interface ConnectOptions {
  readonly bootstrapServers: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Serves librdkafka's queue, where errors wait to be noticed. */
  readonly pump: () => Promise<void> | undefined;
  /** Lets go of the native client when connecting failed. */
  readonly letGo?: () => void;
}

/** What librdkafka said while connecting: error events by code, and the log lines that explain them. */
export class ConnectTrace {
  lastError: RawError | undefined;
  lastLog: string | undefined;

  error(error: RawError): void {
    // That all brokers are down says less than why the first one was.
    const known = this.lastError !== undefined && kafkaCodeOf(error) === kafkaCodes.allBrokersDown;
    const refused = this.lastError !== undefined && isAuthenticationCode(kafkaCodeOf(this.lastError));
    if (!refused && !known) this.lastError = error;
  }

  log(line: { readonly fac: string; readonly message: string }): void {
    if (line.fac === 'FAIL' || line.fac === 'ERROR') this.lastLog = line.message.replace(/^\[thrd:[^\]]*\]:\s*/, '');
  }
}

/**
 * Creates the native client and waits for a first answer from a broker. node-rdkafka's own `connect` blocks a pool thread for
 * the whole timeout and reports a wrong password as a plain timeout; this one asks in slices and watches the error events.
 */
export async function connectClient(
  client: Client<RawConsumer> | Client<RawProducer>,
  trace: ConnectTrace,
  { bootstrapServers, timeoutMs, signal, pump, letGo }: ConnectOptions,
): Promise<Metadata> {
  signal?.throwIfAborted();
  const deadline = Date.now() + timeoutMs;
  const raw = client._client as RawProducer;
  raw.configureCallbacks(true, client._cb_configs);
  await new Promise<void>((resolve, reject) => {
    raw.connect((error) => {
      if (error) reject(cannotCreate(error));
      else resolve();
    });
  });
  client._isConnected = true;
  let pumped: Promise<void> | undefined;
  const pumping = setInterval(() => {
    pumped ??= pump()?.finally(() => {
      pumped = undefined;
    });
  }, 50);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const remaining = deadline - Date.now();
      const answer = await requestMetadata(raw, { timeout: Math.max(1, Math.min(METADATA_SLICE_MS, remaining)) });
      if (!('message' in answer)) {
        clearInterval(pumping);
        // A poll that is still queued behind other work would take the first record, and lose it.
        await pumped;
        return answer;
      }
      const refused = trace.lastError !== undefined && isAuthenticationCode(kafkaCodeOf(trace.lastError));
      if (refused || isAuthenticationCode(kafkaCodeOf(answer))) throw refusal(bootstrapServers, trace, answer);
      if (Date.now() >= deadline) throw unreachable(bootstrapServers, timeoutMs, trace, answer);
      await orAborted(sleep(Math.min(50, Math.max(1, deadline - Date.now()))), signal);
    }
  } catch (error) {
    clearInterval(pumping);
    await pumped;
    letGo?.();
    client._isConnected = false;
    await new Promise<void>((resolve) => raw.disconnect(resolve));
    raw.configureCallbacks(false, client._cb_configs);
    throw error;
  }
}

function cannotCreate(error: RawError): Error {
  // librdkafka reads the key when the client is made, and does not say whether the file or its password is wrong.
  const hint = /ssl\.key\.location failed/.test(error.message)
    ? '. Check that SSL_KEY_LOCATION is a PEM key and SSL_KEY_PASSWORD its password.'
    : '';
  return fromLibrdkafka('Cannot create the Kafka client', error, (message, options) => new ConnectError(`${message}${hint}`, options));
}

/** One metadata request: the answer, or the error as a value. */
export function requestMetadata(
  raw: Pick<RawConsumer, 'getMetadata'>,
  options: { topic?: string; allTopics?: boolean; timeout: number },
): Promise<Metadata | RawError> {
  return new Promise((resolve) => raw.getMetadata(options, (error, data) => resolve(error ?? data!)));
}

/** Whether any broker answers, asked for no more than the topics in use. */
export async function brokersAnswer(raw: Pick<RawConsumer, 'getMetadata'>, timeoutMs: number): Promise<boolean> {
  return !('message' in (await requestMetadata(raw, { allTopics: false, timeout: timeoutMs })));
}

function refusal(bootstrapServers: string, trace: ConnectTrace, answer: RawError): ConnectError {
  const reason = trace.lastLog ?? trace.lastError?.message ?? answer.message;
  return new ConnectError(
    `Cannot sign in to Kafka at ${bootstrapServers}: ${reason}. Check SASL_USERNAME, SASL_PASSWORD and SASL_MECHANISM (or the tokenProvider, or the client certificate).`,
    { code: 'ERR_AUTHENTICATION', kafkaCode: kafkaCodes.authentication },
  );
}

function unreachable(bootstrapServers: string, timeoutMs: number, trace: ConnectTrace, answer: RawError): ConnectError {
  const reason = trace.lastLog ?? trace.lastError?.message ?? answer.message;
  const hint = certificateHint(reason);
  const ssl = trace.lastError !== undefined && kafkaCodeOf(trace.lastError) === kafkaCodes.ssl;
  return new ConnectError(
    `No answer from Kafka at ${bootstrapServers} within ${timeoutMs} ms: ${reason}. ${hint ?? hintFor(reason, ssl)}`,
    {
      kafkaCode: kafkaCodeOf(trace.lastError ?? answer),
      // A certificate that is refused today is refused tomorrow.
      retriable: hint === undefined,
    },
  );
}

/** What to do about certificates that one side does not take; undefined for other reasons. */
function certificateHint(reason: string): string | undefined {
  if (/certificate required|bad certificate|unknown ca/i.test(reason)) {
    return 'The broker wants a client certificate that it trusts: check SSL_CERTIFICATE_LOCATION and SSL_KEY_LOCATION.';
  }
  if (/certificate verify failed/i.test(reason)) {
    return 'Check that SSL_CA_LOCATION holds the authority of the broker, and that its certificate names the host you connect to.';
  }
  return undefined;
}

function hintFor(reason: string, ssl: boolean): string {
  if (ssl || /SSL handshake failed|SSL_HANDSHAKE/.test(reason)) return 'Check USE_SSL, SSL_CA_LOCATION and that this port speaks TLS.';
  if (/APIVERSION_QUERY/.test(reason))
    return 'The port took the connection and hung up: check USE_SSL and USE_SASL, and that it is a Kafka port.';
  return 'Check KAFKA_BOOTSTRAP_SERVERS, that the broker runs, and that its advertised listeners can be reached from here.';
}
