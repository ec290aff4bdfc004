import { type Job, varsOf } from '../job.ts';
import { importPeer } from '../peers.ts';

/** A record as its streams give it. */
export interface PlatformaticMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: ReadonlyMap<Buffer, Buffer>;
}

type Stream = AsyncIterable<PlatformaticMessage> & NodeJS.EventEmitter & { close(): Promise<void> };

interface ConsumerClient {
  consume(options: Readonly<Record<string, unknown>>): Promise<Stream>;
  close(force?: boolean): Promise<void>;
}

interface ProducerClient {
  send(options: Readonly<Record<string, unknown>>): Promise<{
    readonly offsets?: readonly { readonly topic: string; readonly partition: number; readonly offset: bigint }[];
  }>;
  close(): Promise<void>;
}

/** What is used of the package, which is installed on demand. */
interface Platformatic {
  readonly Consumer: new (options: Readonly<Record<string, unknown>>) => ConsumerClient;
  readonly Producer: new (options: Readonly<Record<string, unknown>>) => ProducerClient;
}

function load(): Promise<Platformatic> {
  return importPeer<Platformatic>('@platformatic/kafka');
}

function common(job: Job): Record<string, unknown> {
  return { clientId: job.groupId, bootstrapBrokers: job.bootstrapServers.split(',') };
}

/** How it consumes: fetches as large as the others', commits in the background. */
export function consumeSettings(job: Job): Record<string, unknown> {
  const vars = varsOf(job);
  return {
    autocommit: Math.round(vars.CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS * 1_000),
    minBytes: 1,
    maxBytes: vars.MESSAGE_TOTAL_MAX_MB * 1024 * 1024,
    maxWaitTime: 500,
    highWaterMark: vars.CONSUMER_PREFETCH_COUNT,
  };
}

/** A stream over the input from its start, and its end. */
export async function openStream(job: Job): Promise<{ readonly stream: Stream; close(): Promise<void> }> {
  const { Consumer } = await load();
  const consumer = new Consumer({ ...common(job), groupId: job.groupId });
  const stream = await consumer.consume({ ...consumeSettings(job), topics: [...job.inputTopics], mode: 'earliest' });
  return { stream, close: () => consumer.close(true) };
}

export async function openProducer(job: Job): Promise<ProducerClient> {
  const { Producer } = await load();
  return new Producer(common(job));
}
