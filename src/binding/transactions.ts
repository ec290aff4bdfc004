import { TransactionError, type TransactionErrorKind } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { kafkaCodeOf, type RawProducer, type RawTransactionError, type TopicPartitionOffset } from './node-rdkafka.ts';

/** What lends its native client to a call on another thread, which must end before the client may. */
export interface Lender<Raw> {
  lend<T>(use: (raw: Raw) => Promise<T>): Promise<T>;
}

const fencingCodes: ReadonlySet<number> = new Set([kafkaCodes.fenced, kafkaCodes.producerFenced, kafkaCodes.invalidProducerEpoch]);

/** The transactional calls of a producer. Each runs on a thread of libuv's pool until it is done or its time is over. */
export class TransactionCalls {
  readonly #lender: Lender<RawProducer>;

  constructor(lender: Lender<RawProducer>) {
    this.#lender = lender;
  }

  /** Fences older producers of the same `transactional.id` and waits until what they left open is ended. */
  init(timeoutMs: number): Promise<void> {
    return this.#call('Cannot start transactions', (raw, done) => raw.initTransactions(timeoutMs, done));
  }

  begin(): Promise<void> {
    return this.#call('Cannot begin a transaction', (raw, done) => raw.beginTransaction(done));
  }

  /** Makes the offsets part of the transaction, under the group's present generation. */
  sendOffsets<RawConsumer extends Parameters<RawProducer['sendOffsetsToTransaction']>[1]>(
    offsets: readonly TopicPartitionOffset[],
    consumer: Lender<RawConsumer>,
    timeoutMs: number,
  ): Promise<void> {
    return consumer.lend((rawConsumer) =>
      this.#call('Cannot add offsets to the transaction', (raw, done) =>
        raw.sendOffsetsToTransaction(offsets, rawConsumer, timeoutMs, done),
      ),
    );
  }

  commit(timeoutMs: number): Promise<void> {
    return this.#call('Cannot commit the transaction', (raw, done) => raw.commitTransaction(timeoutMs, done));
  }

  abort(timeoutMs: number): Promise<void> {
    return this.#call('Cannot abort the transaction', (raw, done) => raw.abortTransaction(timeoutMs, done));
  }

  /** @throws TransactionError */
  #call(operation: string, call: (raw: RawProducer, done: (error: RawTransactionError | null) => void) => void): Promise<void> {
    return this.#lender.lend(
      (raw) =>
        new Promise((resolve, reject) => {
          call(raw, (error) => {
            if (error) reject(transactionError(operation, error));
            else resolve();
          });
        }),
    );
  }
}

function transactionError(operation: string, error: RawTransactionError): TransactionError {
  const code = kafkaCodeOf(error);
  const kind = kindOf(code, error);
  return new TransactionError(`${operation}: ${error.message} (librdkafka ${code}, ${kind}).${hints[kind]}`, kind, {
    kafkaCode: code,
    cause: error,
  });
}

/** A time-out first: librdkafka calls it retriable, but a producer that does not know how its transaction ended must not go on (KIP-890). */
function kindOf(code: number, { isFatal, isRetriable, isTxnRequiresAbort }: RawTransactionError): TransactionErrorKind {
  if (code === kafkaCodes.timedOut) return 'timedOut';
  if (fencingCodes.has(code) && !isTxnRequiresAbort) return 'fenced';
  if (isFatal) return 'fatal';
  if (isTxnRequiresAbort) return 'abortable';
  return isRetriable ? 'retriable' : 'fatal';
}

const hints: Readonly<Record<TransactionErrorKind, string>> = {
  retriable: '',
  abortable: ' Nothing of the transaction counts.',
  timedOut: ' Its outcome is unknown until a new producer has started.',
  fenced: ' Another producer uses the same transactional.id: give each process its own.',
  fatal: ' The producer must be closed and made anew.',
};
