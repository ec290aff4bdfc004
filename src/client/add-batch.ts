import { OUTPUT_COLUMNS, type PackedRecords } from '../binding/packed-records.ts';
import { isToolkitError, StateError, type ToolkitError } from '../errors.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import { type BatchDelivery, nextSequence } from './delivery.ts';
import type { EncodedRecord, ProducerRecord } from './encode-record.ts';
import type { LocalQueue } from './local-queue.ts';

/** Where the records of a batch go, and who is told of those that are not taken. */
interface AddBatchOptions {
  readonly queue: LocalQueue;
  readonly acknowledgements: Acknowledgements;
  readonly signal: AbortSignal | undefined;
}

/** Queues the records of a batch. From the first one on that finds no room, they fail in the delivery: those before are on their way. */
export async function addBatch<K, V>(
  batch: BatchDelivery,
  records: readonly ProducerRecord<K, V>[],
  encoded: readonly EncodedRecord[],
  { queue, acknowledgements, signal }: AddBatchOptions,
): Promise<void> {
  let refused: ToolkitError | undefined;
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!;
    if (refused === undefined && queue.isFull(encoded[index]!)) {
      try {
        await queue.roomFor(record.topic, encoded[index]!, queue.deadline(), signal);
      } catch (error) {
        refused = isToolkitError(error)
          ? error
          : new StateError(`A record for ${record.topic} was not taken: ${String(error)}`, { cause: error });
      }
    }
    if (refused === undefined) queue.add(record, encoded[index]!, batch, nextSequence(), index);
    else acknowledgements.refuse(batch, index, record.topic, refused);
  }
}

/**
 * As {@link addBatch} for packed records.
 *
 * @throws the error that those which were not taken failed with
 */
export async function addPackedBatch(
  batch: BatchDelivery,
  records: PackedRecords,
  { queue, acknowledgements, signal }: AddBatchOptions,
): Promise<void> {
  for (let from = 0; from < records.length; ) {
    const to = queue.packedRoom(records, from);
    if (to > from) queue.addPacked(batch, records, from, to);
    else {
      try {
        await queue.roomForPacked(batch.topic, records, from, queue.deadline(), signal);
      } catch (error) {
        const refused = isToolkitError(error) ? error : new StateError(`Records were not taken: ${String(error)}`, { cause: error });
        for (let index = from; index < records.length; index++) {
          acknowledgements.refuse(batch, index, records.topics[records.columns[index * OUTPUT_COLUMNS]!]!, refused);
        }
        throw refused;
      }
    }
    from = to;
  }
}
