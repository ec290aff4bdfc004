import type { ProducerRecord } from '../client/producer.ts';
import { ToolkitError } from '../errors.ts';

/**
 * Thrown by a batch handler when one record of its batch failed: those before it are done, it alone follows the failure policy, and the
 * handler is called again with the rest.
 *
 * @example
 * for (const [index, record] of records.entries()) {
 *   try {
 *     await store(record.value);
 *   } catch (error) {
 *     throw new BatchItemError(index, error);
 *   }
 * }
 */
export class BatchItemError<OK = unknown, OV = unknown> extends ToolkitError {
  /** Place of the failed record in the batch the handler was called with. */
  readonly index: number;
  /** Outputs of the records before it, for a handler that returns its outputs: they are produced before those are counted as done. */
  readonly outputs: readonly ProducerRecord<OK, OV>[];

  /** @param cause what the record failed with; the failure policy decides by it */
  constructor(index: number, cause: unknown, { outputs = [] }: { readonly outputs?: readonly ProducerRecord<OK, OV>[] | undefined } = {}) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super('ERR_BATCH_ITEM', `Record ${index} of a batch failed: ${reason}`, { cause });
    this.index = index;
    this.outputs = outputs;
  }
}
