export {
  type AvroClient,
  type AvroClientOptions,
  type AvroConsumerOptions,
  type AvroProducerOptions,
  createAvroConsumer,
  createAvroProducer,
  getAvroClient,
} from './avro/clients.ts';
export { type AvroDeserializerOptions, type AvroSerializerOptions, createAvroDeserializer, createAvroSerializer } from './avro/codec.ts';
export { type AvroSchema, type AvroSchemaJson, avroSchema } from './avro/schema.ts';
export {
  createSchemaRegistry,
  type RegisteredSchema,
  type SchemaRegistryClient,
  type SchemaRegistryOptions,
} from './avro/schema-registry.ts';
export { librdkafka, type TopicPartition, type TopicPartitionOffset } from './binding/node-rdkafka.ts';
export { type NativeStatus, nativeStatus } from './binding/packed.ts';
export type { ConsumerRecord, DetachedRecord, RecordBatch, TimestampType } from './binding/record-batch.ts';
export type { BatchOptions, Consumer, WaitOptions } from './client/consumer.ts';
export {
  type BatchDelivery,
  type BatchDeliveryCallback,
  BatchDeliveryError,
  type BatchMetadata,
  type Delivery,
  type DeliveryCallback,
  type RecordMetadata,
} from './client/delivery.ts';
export type { ClientEvents, ConsumerEvents, ConsumerHealth, LogLine, ProducerEvents, Stall, Statistics } from './client/events.ts';
export type { Producer, ProducerRecord } from './client/producer.ts';
export type { OAuthBearerToken, TokenProvider } from './client/token-refresher.ts';
export { type ConfigOptions, getConfig } from './config/get-config.ts';
export {
  type ClientOptions,
  type ConsumerOptions,
  createConsumer,
  createProducer,
  type ProducerOptions,
} from './delivery/create-clients.ts';
export { type RecordOrigin, recordOrigin } from './delivery/failed-record.ts';
export type { Backoff, ErrorClass, ErrorMatch, FailureOptions, FailureRoute, RetryTopic } from './delivery/failure-options.ts';
export type { FinishedRecord } from './delivery/offset-manager.ts';
export {
  ClosedError,
  CommitError,
  ConfigError,
  ConnectError,
  ConsumeError,
  DecodeError,
  DeliveryError,
  EncodeError,
  type ErrorCode,
  FatalError,
  IncompatibleEnvironmentError,
  isToolkitError,
  type Leftovers,
  NoMessageError,
  QueueFullError,
  RecordTooLargeError,
  SchemaRegistryError,
  ShutdownError,
  StateError,
  TimeoutError,
  ToolkitError,
  type ToolkitErrorOptions,
  TransactionError,
  type TransactionErrorKind,
} from './errors.ts';
export type { MetricsRecorder } from './hooks.ts';
export { BatchItemError } from './patterns/batch-item-error.ts';
export type { CircuitBreaker, CircuitBreakerOptions } from './patterns/circuit-breaker.ts';
export {
  BatchDecodeError,
  type CleanupOptions,
  consumeMessage,
  consumeMessageBatch,
  enqueueAutoCommits,
  handleNoMessages,
  type SynchronousOptions,
  shutdownCleanup,
  synchronousMessageHandling,
} from './patterns/consume.ts';
export { type ConsumeAllOptions, consumeAllMessages } from './patterns/consume-all.ts';
export { type ProduceOptions, produceMessage, produceMessageCallback } from './patterns/produce.ts';
export {
  type DeadLetter,
  type ReplayAction,
  type ReplayOptions,
  type ReplayResult,
  replayDeadLetters,
} from './patterns/replay.ts';
export { runAsync, runBatch, runSync, runTransaction } from './patterns/run.ts';
export type {
  BatchHandler,
  HandlerContext,
  HandlerResult,
  Order,
  RecordHandler,
  RunAsyncOptions,
  RunBaseOptions,
  RunBatchOptions,
  RunOptions,
  RunRecordOptions,
  RunResult,
  RunTransactionOptions,
} from './patterns/run-options.ts';
export type { AnyConsumer, AnyProducer } from './patterns/shutdown.ts';
export {
  describeRuntimeVars,
  type Environment,
  parseRuntimeVars,
  type RuntimeVarDescription,
  type RuntimeVars,
  runtimeVarTable,
} from './runtime-vars.ts';
export {
  type Deserializer,
  type HeadersDeserializer,
  type HeadersInput,
  jsonDeserializer,
  jsonSerializer,
  type RecordContext,
  type RecordHeader,
  rawDeserializer,
  rawSerializer,
  type SerializeContext,
  type Serializer,
  stringDeserializer,
} from './serde.ts';
