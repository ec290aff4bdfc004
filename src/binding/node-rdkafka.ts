import { createRequire } from 'node:module';
import { isSensitiveName, redactText } from '../config/redact.ts';
import { ConfigError, ConnectError, FatalError, ToolkitError, type ToolkitErrorOptions } from '../errors.ts';
import { hintOf, isAuthenticationCode, isFatalCode, isRetriableCode } from '../kafka-codes.ts';

/**
 * What this package uses of node-rdkafka 3.6.1, its undocumented parts included: `_client` is the C++ object, whose `consume`
 * takes a timeout for each call, and whose `connect` does not wait for metadata. `binding-notes/architecture.md` says why.
 */
interface RawClient {
  configureCallbacks(add: boolean, callbacks: unknown): void;
  /** The token to sign in with by OAUTHBEARER: before `connect`, and again whenever there is a new one. Throws a bare Error. */
  setToken(token: string): void;
  connect(callback: (error: RawError | null, info?: { name: string }) => void): void;
  disconnect(callback: () => void): void;
  getMetadata(
    options: { topic?: string; allTopics?: boolean; timeout: number },
    callback: (error: RawError | null, data?: Metadata) => void,
  ): void;
  queryWatermarkOffsets(
    topic: string,
    partition: number,
    timeoutMs: number,
    callback: (error: RawError | null, offsets?: { lowOffset: number; highOffset: number }) => void,
  ): void;
  offsetsForTimes(
    partitions: readonly TopicPartitionOffset[],
    timeoutMs: number,
    callback: (error: RawError | null, partitions?: TopicPartitionOffset[]) => void,
  ): void;
}

export interface RawConsumer extends RawClient {
  consume(
    timeoutMs: number,
    count: number,
    callback: (error: RawError | null, messages?: RawMessage[], eofs?: (TopicPartitionOffset & { messageIndex: number })[]) => void,
  ): void;
  subscribe(topics: readonly string[]): number;
  unsubscribe(): number;
  assign(partitions: readonly TopicPartition[]): void;
  unassign(): void;
  incrementalAssign(partitions: readonly TopicPartition[]): void;
  incrementalUnassign(partitions: readonly TopicPartition[]): void;
  rebalanceProtocol(): 'NONE' | 'EAGER' | 'COOPERATIVE';
  assignments(): TopicPartition[] | number;
  position(partitions: readonly TopicPartition[]): { topic: string; partition: number; offset?: number }[] | number;
  committed(
    partitions: readonly TopicPartition[],
    timeoutMs: number,
    callback: (error: RawError | null, partitions?: { topic: string; partition: number; offset?: number }[]) => void,
  ): void;
  commit(partitions: readonly TopicPartitionOffset[]): number;
  offsetsStore(partitions: readonly TopicPartitionOffset[]): number;
  seek(partition: TopicPartitionOffset, timeoutMs: number, callback: (error: RawError | null) => void): void;
  pause(partitions: readonly TopicPartition[]): number;
  resume(partitions: readonly TopicPartition[]): number;
  getWatermarkOffsets(topic: string, partition: number): { lowOffset: number; highOffset: number } | number;
}

export interface RawProducer extends RawClient {
  poll(): void;
  produce(
    topic: string,
    partition: number | null,
    value: Buffer | null,
    key: Buffer | null,
    timestamp: number | undefined,
    opaque: unknown,
    headers: readonly object[] | undefined,
  ): number;
  flush(timeoutMs: number, callback: (error: RawError | null) => void): void;
  initTransactions(timeoutMs: number, callback: RawTransactionCallback): void;
  beginTransaction(callback: RawTransactionCallback): void;
  sendOffsetsToTransaction(
    offsets: readonly TopicPartitionOffset[],
    consumer: RawConsumer,
    timeoutMs: number,
    callback: RawTransactionCallback,
  ): void;
  commitTransaction(timeoutMs: number, callback: RawTransactionCallback): void;
  abortTransaction(timeoutMs: number, callback: RawTransactionCallback): void;
}

type RawTransactionCallback = (error: RawTransactionError | null) => void;

/** What node-rdkafka's JavaScript clients add around the C++ object. */
export interface Client<Raw extends RawClient> {
  readonly _client: Raw;
  readonly _cb_configs: unknown;
  _isConnected: boolean;
  on(event: string, listener: (...args: never[]) => void): this;
}

/** What is used of node-rdkafka's admin client. */
export interface RawAdmin {
  createTopic(
    topic: { topic: string; num_partitions: number; replication_factor: number; config: Readonly<Record<string, string>> },
    timeoutMs: number,
    done: (error?: RawError | null) => void,
  ): void;
  deleteTopic(topic: string, timeoutMs: number, done: (error?: RawError | null) => void): void;
  disconnect(): void;
}

/** A librdkafka error as it reaches JavaScript; `code` is -1 where the binding lost it. */
export interface RawError {
  readonly message: string;
  readonly code?: number;
}

/** As the transactional calls give it, with librdkafka's own word on what may be done. */
export interface RawTransactionError extends RawError {
  readonly isFatal: boolean;
  readonly isRetriable: boolean;
  readonly isTxnRequiresAbort: boolean;
}

/** A partition of a topic; partitions count from 0. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A place in a partition: that of a record, or, where it is a position or what is committed, the next one to read. */
export interface TopicPartitionOffset extends TopicPartition {
  readonly offset: number;
}

export interface Metadata {
  readonly orig_broker_id: number;
  readonly orig_broker_name: string;
  readonly brokers: readonly { readonly id: number; readonly host: string; readonly port: number }[];
  readonly topics: readonly { readonly name: string; readonly partitions: readonly { readonly id: number; readonly leader: number }[] }[];
}

/** A callback's configuration beside the plain settings. */
type WithCallbacks = Record<string, unknown>;

interface NodeRdkafka {
  readonly KafkaConsumer: new (global: WithCallbacks, topic: WithCallbacks) => Client<RawConsumer>;
  readonly Producer: new (global: WithCallbacks, topic: WithCallbacks) => Client<RawProducer>;
  /** Its calls are all that is used; `admin-handle.ts` says which. */
  readonly AdminClient: { create(global: WithCallbacks): RawAdmin };
  readonly CODES: { readonly ERRORS: Readonly<Record<string, number>> };
  readonly features: readonly string[];
  readonly librdkafkaVersion: string;
}

const require = createRequire(import.meta.url);

function load(): NodeRdkafka {
  try {
    return require('node-rdkafka') as NodeRdkafka;
  } catch (error) {
    throw new ToolkitError(
      'ERR_STATE',
      'node-rdkafka did not load. Its C++ part is compiled at install: check that install scripts are allowed ' +
        '(npm install-scripts approve node-rdkafka), that a C++ compiler, make and Python are there, then run: npm rebuild node-rdkafka',
      { cause: error },
    );
  }
}

export const rdkafka: NodeRdkafka = load();

/** Settings that only tune, which the runtime variables set by themselves, by the first librdkafka that has them: an older one does without. */
const tuningSince: ReadonlyMap<string, string> = new Map([['fetch.queue.backoff.ms', '2.2.0']]);

function withoutUnknownTuning(settings: WithCallbacks, version: string): WithCallbacks {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !isOlderVersion(version, tuningSince.get(name) ?? '0')));
}

/** Whether a version of librdkafka comes before another; `2.12.0` does not come before `2.9.0`. */
export function isOlderVersion(version: string, other: string): boolean {
  return version.localeCompare(other, 'en', { numeric: true }) < 0;
}

/**
 * Makes a client that is not connected yet.
 *
 * @throws ConfigError what librdkafka refuses although its table allows it: a feature that this build does not have
 */
export function makeClient<Raw extends RawClient>(
  Client: new (global: WithCallbacks, topic: WithCallbacks) => Client<Raw>,
  global: WithCallbacks,
  topic: WithCallbacks,
): Client<Raw> {
  try {
    return new Client(withoutUnknownTuning(global, rdkafka.librdkafkaVersion), topic);
  } catch (error) {
    const secrets = Object.entries({ ...global, ...topic }).filter(([name]) => isSensitiveName(name));
    const reason = redactText(
      error instanceof Error ? error.message : String(error),
      secrets.map(([, value]) => String(value)),
    );
    throw new ConfigError([`librdkafka ${rdkafka.librdkafkaVersion} refuses it: ${reason} (built with: ${rdkafka.features.join(', ')})`]);
  }
}

/** The librdkafka that runs, e.g. `2.12.0`, and what it was built with (`ssl`, `zstd`, `sasl_scram` …). */
export const librdkafka: { readonly version: string; readonly features: readonly string[] } = {
  version: rdkafka.librdkafkaVersion,
  features: rdkafka.features,
};

/**
 * Delivery reports and error events reach JavaScript as text with code -1. The texts are librdkafka's own and unique, so they
 * are mapped back by asking it for the text of every code once.
 */
const codeByText: ReadonlyMap<string, number> = (() => {
  const LibrdKafkaError = require('node-rdkafka/lib/error') as { create(code: number): { message: string } };
  const map = new Map<string, number>();
  for (const code of Object.values(rdkafka.CODES.ERRORS)) map.set(normalise(LibrdKafkaError.create(code).message), code);
  return map;
})();

function normalise(text: string): string {
  return text
    .replace(/^(local|broker):\s*/i, '')
    .trim()
    .toLowerCase();
}

/** librdkafka's number for an error; -1 where neither number nor text is known. */
export function kafkaCodeOf(error: RawError): number {
  const code = error.code;
  if (typeof code === 'number' && code !== -1) return code;
  return codeByText.get(normalise(error.message)) ?? -1;
}

/** An error of ours for an error of librdkafka's: fatal and authentication errors get their class, others come from `make`. */
export function fromLibrdkafka(
  operation: string,
  error: RawError,
  make: (message: string, options: ToolkitErrorOptions) => ToolkitError,
  where: Pick<ToolkitErrorOptions, 'topic' | 'partition' | 'offset'> = {},
): ToolkitError {
  const code = kafkaCodeOf(error);
  const hint = hintOf(code);
  const message = `${operation}: ${error.message} (librdkafka ${code})${hint === '' ? '' : `.${hint}`}`;
  const options: ToolkitErrorOptions = { ...where, kafkaCode: code, retriable: isRetriableCode(code), cause: error };
  if (isFatalCode(code)) return new FatalError(`${message}. The client must be closed and made anew.`, options);
  if (isAuthenticationCode(code)) return new ConnectError(message, { ...options, code: 'ERR_AUTHENTICATION' });
  return make(message, options);
}

/** Throws for a code that a synchronous call of the C++ object returned. */
export function checkCode(
  operation: string,
  code: unknown,
  make: (message: string, options: ToolkitErrorOptions) => ToolkitError,
  where: Pick<ToolkitErrorOptions, 'topic' | 'partition' | 'offset'> = {},
): void {
  if (typeof code !== 'number' || code === 0) return;
  throw fromLibrdkafka(operation, errorOfCode(code), make, where);
}

/** The error for a bare librdkafka number, with its text. */
export function errorOfCode(code: number): RawError {
  for (const [text, known] of codeByText) if (known === code) return { code, message: text };
  return { code, message: `error ${code}` };
}

/** A record as node-rdkafka hands it out. */
export interface RawMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly object[];
}
