import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { librdkafka, type RawConsumer, type TopicPartitionOffset } from './node-rdkafka.ts';

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
  /** Index of a topic, given out in order from 0. */
  addTopic(name: string): number;
  close(): void;
}

interface Addon {
  readonly librdkafkaVersion: string;
  readonly nodeRdkafkaVersion: string;
  readonly PackedConsumer: new (client: RawConsumer, onWake: () => void) => PackedConsumer;
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

/** Whether records can move through the packed addon in this process. */
export function nativeStatus(): NativeStatus {
  const found = addon();
  return typeof found === 'string' ? { available: false, reason: found } : { available: true, reason: undefined };
}

/** @throws Error when the addon is not available; ask {@link nativeStatus} first */
export function openPackedConsumer(client: RawConsumer, onWake: () => void): PackedConsumer {
  const found = addon();
  if (typeof found === 'string') throw new Error(found);
  return new found.PackedConsumer(client, onWake);
}
