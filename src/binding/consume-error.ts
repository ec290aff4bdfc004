import { ConsumeError, type ToolkitErrorOptions } from '../errors.ts';
import { isRetriableCode } from '../kafka-codes.ts';
import { fromLibrdkafka, kafkaCodeOf, type RawError } from './node-rdkafka.ts';

/** The error for what librdkafka reported instead of a record. */
export function consumeError(error: RawError & { readonly topic?: string; readonly partition?: number }): Error {
  const make = (message: string, options: ToolkitErrorOptions): ConsumeError => new ConsumeError(message, options);
  const hint = isRetriableCode(kafkaCodeOf(error)) ? ' (librdkafka goes on trying)' : '';
  const at = error.topic === undefined || error.topic === '' ? undefined : { topic: error.topic, partition: error.partition };
  const where = at === undefined ? '' : ` ${at.topic}${at.partition === undefined || at.partition < 0 ? '' : ` [${at.partition}]`}`;
  return fromLibrdkafka(`Cannot consume${where}${hint}`, error, make, at);
}
