import { ConsumerHandle } from '../binding/consumer-handle.ts';
import { fromLibrdkafka } from '../binding/node-rdkafka.ts';
import type { RecordBatch } from '../binding/record-batch.ts';
import { consumerSettings } from '../config/consumer-config.ts';
import { routeConfig } from '../config/librdkafka-config.ts';
import { checkTlsFiles } from '../config/security.ts';
import { ConsumeError, type ToolkitError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import type { Shard } from './shard.ts';
import type { StoreChange } from './store.ts';

/** What a client that reads changelogs tells. */
export interface ChangelogCallbacks {
  /** A partition was read up to this offset, its end at that moment. */
  onEnd(topic: string, partition: number, offset: number): void;
  onError(error: ToolkitError): void;
}

/** A client that reads changelogs, without a group. */
export function changelogHandle(
  vars: RuntimeVars,
  isolation: 'read_committed' | 'read_uncommitted',
  { onEnd, onError }: ChangelogCallbacks,
): ConsumerHandle {
  checkTlsFiles(vars);
  const settings = consumerSettings(vars, {
    // It joins no group: the name is only asked for.
    'group.id': `${vars.APP_NAME}-recovery`,
    'group.instance.id': '',
    'enable.auto.commit': false,
    'enable.partition.eof': true,
    'isolation.level': isolation,
    'auto.offset.reset': 'earliest',
  });
  return new ConsumerHandle(routeConfig('consumer', settings), {
    onRebalance: () => undefined,
    onOffsetCommit: () => undefined,
    onPartitionEof: ({ topic, partition, offset }) => onEnd(topic, partition, offset),
    onError: (error) => onError(fromLibrdkafka('Reading a changelog', error, (message, options) => new ConsumeError(message, options))),
    onStatistics: () => undefined,
    onLog: () => undefined,
  });
}

/**
 * Writes a batch of changelog records to the stores they are of.
 *
 * @param shardOf Gives a run of records its shard, and is told the offset after the run; undefined: it is nobody's.
 */
export function applyChangelog(
  batch: RecordBatch,
  shardOf: (changelog: string, partition: number, position: number) => Pick<Shard, 'store'> | undefined,
): void {
  const { bytes, keyLengths, offsets, partitions, starts, topicIndexes, topics, valueLengths } = batch;
  for (let from = 0; from < batch.length; ) {
    const topicIndex = topicIndexes[from]!;
    const partition = partitions[from]!;
    const changes: StoreChange[] = [];
    let to = from;
    for (; to < batch.length && partitions[to] === partition && topicIndexes[to] === topicIndex; to++) {
      const keyLength = keyLengths[to]!;
      // Without a key it is nobody's change.
      if (keyLength < 0) continue;
      const start = starts[to]!;
      const valueLength = valueLengths[to]!;
      const valueStart = start + keyLength;
      // A copy: a view would keep its whole batch.
      const value = valueLength < 0 ? null : Buffer.from(bytes.subarray(valueStart, valueStart + valueLength));
      changes.push([bytes.toString('latin1', start, valueStart), value]);
    }
    const position = offsets[to - 1]! + 1;
    shardOf(topics[topicIndex]!, partition, position)?.store.write(changes, position);
    from = to;
  }
}

/** A partition of a changelog as a key. */
export const placeOf = (changelog: string, partition: number): string => `${changelog}/${partition}`;
