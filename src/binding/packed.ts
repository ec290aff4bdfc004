import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { StateError } from '../errors.ts';
import { librdkafka, type RawConsumer, type RawProducer, type TopicPartitionOffset } from './node-rdkafka.ts';

/** What one native fetch gives: packed records, ends of partitions, errors; undefined when there was nothing. */
export interface PackedFetch {
  readonly length?: number;
  readonly bytes?: ArrayBuffer;
  readonly columns?: ArrayBuffer;
  /** Topics that were new, in the order of their indexes. */
  readonly topics?: readonly string[];
  readonly eofs?: readonly TopicPartitionOffset[];
  readonly errors?: readonly (TopicPartitionOffset & { readonly code: number; readonly message: string })[];
}

/** The addon's consumer. Borrows the native client: close it before the client disconnects. */
export interface PackedConsumer {
  fetch(maxRecords: number, maxBytes: number): PackedFetch | undefined;
  /**
   * Begins to fetch on a thread beside the event loop, which it holds open; `onWake` is called when it is done. Then take it, before any other
   * fetch. False when the system has no thread to give.
   */
  fetchAhead(maxRecords: number, maxBytes: number): boolean;
  /** What `fetchAhead` has fetched; false while it is under way, unless `wait` blocks until it is done (some milliseconds at most). */
  takeAhead(wait: boolean): PackedFetch | undefined | false;
  /** Gives memory of what was fetched back, closed or not. It has no bytes any more then. */
  free(...memory: readonly ArrayBuffer[]): void;
  /** Index of a topic, given out in order from 0. */
  addTopic(name: string): number;
  /** Sends a commit: librdkafka's error number, 0 when it is on its way. The answer comes under `ticket`. */
  commit(offsets: readonly TopicPartitionOffset[], ticket: number): number;
  /** Answers that came, `[ticket, error number]` each. */
  takeCommits(): (readonly [number, number])[];
  /** Stores offsets for the next automatic commit; gives the indexes of those that were refused. */
  storeOffsets(offsets: readonly TopicPartitionOffset[]): number[];
  /** Whether the partitions of the revoke under way belong to others already. */
  assignmentLost(): boolean;
  /** Whether the coordinator has given this consumer a name in its group, which is what it leaves by. */
  isMember(): boolean;
  close(): void;
}

/** A client on its way out of its group. Borrows the native client: release it before the client disconnects. */
export interface ConsumerClose {
  /** Runs the callbacks that have come; true once the group is left. */
  serve(): boolean;
  /** Stops node-rdkafka's callbacks, which hold the event loop open. */
  quiet(): void;
  release(): void;
}

/** Something librdkafka tells beside delivery reports. */
export interface PackedEvent {
  readonly type: 'error' | 'statistics' | 'log';
  readonly code: number;
  readonly fatal: boolean;
  readonly severity: number;
  readonly facility: string;
  readonly text: string;
}

/** The addon's producer. Borrows the native client: close it before the client disconnects. */
export interface PackedProducer {
  /** The memory `drain` writes into, for as long as this object lives. */
  readonly reports: ArrayBuffer;
  /** Index of a topic, given out in order from 0. */
  addTopic(name: string): number;
  /**
   * Hands over records `from … from + count - 1`, whose tickets count up from `firstTicket`. Gives how many were accepted;
   * `lastError` is librdkafka's error number for the one after them.
   */
  produce(bytes: Uint8Array, columns: Int32Array, timestamps: Float64Array, from: number, count: number, firstTicket: number): number;
  lastError(): number;
  /**
   * Writes the reports that are ready to `reports`; gives their number. `fromQueue` is false while another thread polls the main
   * queue (a flush), so that reports keep their order.
   */
  drain(fromQueue: boolean): number;
  takeEvents(): readonly PackedEvent[] | undefined;
  /** Whether the wake-up holds the event loop open. */
  hold(hold: boolean): void;
  close(): void;
}

/** Control of a mock cluster. Every control gives librdkafka's error number, 0 for success. */
export interface NativeMockCluster {
  createTopic(name: string, partitions: number, replicas: number): number;
  setBrokerUp(brokerId: number, up: boolean): number;
  setRoundTripTime(brokerId: number, milliseconds: number): number;
  pushErrors(apiKey: number, codes: readonly number[]): number;
  clearErrors(apiKey: number): number;
  setLeader(topic: string, partition: number, brokerId: number): number;
  setCoordinator(type: string, key: string, brokerId: number): number;
  setGroupJoinDelay(milliseconds: number): number;
  close(): void;
}

interface Addon {
  readonly librdkafkaVersion: string;
  readonly nodeRdkafkaVersion: string;
  readonly PackedConsumer: new (client: RawConsumer, onWake: () => void, onCommit: () => void) => PackedConsumer;
  readonly ConsumerClose: new (client: RawConsumer, onWake: () => void) => ConsumerClose;
  readonly PackedProducer: new (client: RawProducer, onWake: () => void) => PackedProducer;
  readonly MockCluster: new (client: RawProducer) => NativeMockCluster;
}

/** Whether the packed addon is in use, and why not. */
export interface NativeStatus {
  readonly available: boolean;
  /** Why the addon cannot be used; undefined when it can. */
  readonly reason: string | undefined;
}

const require = createRequire(import.meta.url);
const root = new URL('../../../', import.meta.url);

/** Loads the addon and checks that it fits the node-rdkafka and the librdkafka that run; a text says why it does not. */
function load(): Addon | string {
  if (!isMainThread) return 'node-rdkafka and the addon run on the main thread only';
  let addon: Addon;
  try {
    addon = require('../../../build/Release/rdkafka_toolkit.node') as Addon;
  } catch (error) {
    return notBuilt() ?? `the addon did not load: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
  }
  const { version } = require('node-rdkafka/package.json') as { version: string };
  if (addon.nodeRdkafkaVersion !== version) {
    return `the addon was compiled for node-rdkafka ${addon.nodeRdkafkaVersion}, and ${version} is installed: run npm rebuild rdkafka-toolkit`;
  }
  if (addon.librdkafkaVersion !== librdkafka.version) {
    return `the addon found librdkafka ${addon.librdkafkaVersion}, and node-rdkafka runs ${librdkafka.version}`;
  }
  return addon;
}

/** What the install noted when it did not compile the addon. */
function notBuilt(): string | undefined {
  try {
    return (JSON.parse(readFileSync(new URL('build/native-status.json', root), 'utf8')) as { reason?: string }).reason;
  } catch {
    return 'the addon was not compiled: the install script did not run (npm install-scripts approve rdkafka-toolkit, then npm rebuild)';
  }
}

let loaded: Addon | string | undefined;

function addon(): Addon | string {
  loaded ??= load();
  return loaded;
}

/** Whether records can move through the packed addon in this process. A client that is told not to (`RDKAFKA_TOOLKIT_NATIVE=off`) changes nothing here. */
export function nativeStatus(): NativeStatus {
  const found = addon();
  return typeof found === 'string' ? { available: false, reason: found } : { available: true, reason: undefined };
}

function required(): Addon {
  const found = addon();
  if (typeof found === 'string') throw new StateError(`The packed addon is not available: ${found}`);
  return found;
}

/** @throws StateError when the addon is not available; ask {@link nativeStatus} first */
export function openPackedConsumer(client: RawConsumer, onWake: () => void, onCommit: () => void): PackedConsumer {
  return new (required().PackedConsumer)(client, onWake, onCommit);
}

/**
 * Begins to leave the group; `onWake` is called when there is something to serve.
 *
 * @throws StateError when the addon is not available; ask {@link nativeStatus} first
 */
export function openConsumerClose(client: RawConsumer, onWake: () => void): ConsumerClose {
  return new (required().ConsumerClose)(client, onWake);
}

/** @throws StateError when the addon is not available; ask {@link nativeStatus} first */
export function openPackedProducer(client: RawProducer, onWake: () => void): PackedProducer {
  return new (required().PackedProducer)(client, onWake);
}

/** @throws StateError when the addon is not available; ask {@link nativeStatus} first */
export function openMockCluster(client: RawProducer): NativeMockCluster {
  return new (required().MockCluster)(client);
}
