export {
  type AvroClient,
  type AvroClientOptions,
  type AvroConsumerOptions,
  type AvroProducerOptions,
  createAvroConsumer,
  createAvroProducer,
  getAvroClient,
} from './avro/clients.ts';
export { type CodegenOptions, generateTypes } from './avro/codegen.ts';
export { AvroDecimal } from './avro/decimal.ts';
export { type AvroDeserializerOptions, createAvroDeserializer } from './avro/deserializer.ts';
export type { LogicalType, LogicalTypeAttributes, LogicalTypes } from './avro/logical-type.ts';
export { type AvroDuration, standardLogicalTypes } from './avro/logical-types.ts';
export type { LongAs } from './avro/long-types.ts';
export type { AvroTypeOptions } from './avro/parse-type.ts';
export { type AvroSchema, type AvroSchemaJson, type AvroValue, avroSchema, defineSchema } from './avro/schema.ts';
export { createSchemaRegistry, type SchemaRegistryClient, type SchemaRegistryOptions } from './avro/schema-registry.ts';
export { type AvroSerializerOptions, createAvroSerializer } from './avro/serializer.ts';
export type { SubjectNameStrategy } from './avro/subject-name.ts';
export { librdkafka, type TopicPartition, type TopicPartitionOffset } from './binding/node-rdkafka.ts';
export { type NativeStatus, nativeStatus } from './binding/packed.ts';
export type { ConsumerRecord, DetachedRecord, RecordBatch, RecordDecoders, TimestampType } from './binding/record-batch.ts';
export type { Consumer } from './client/consumer.ts';
export type { BatchOptions, WaitOptions } from './client/consumer-settings.ts';
export {
  type BatchDelivery,
  type BatchDeliveryCallback,
  BatchDeliveryError,
  type BatchMetadata,
  type Delivery,
  type DeliveryCallback,
  type RecordMetadata,
} from './client/delivery.ts';
export type {
  BrokerStatistics,
  ClientEvents,
  ConsumerEvents,
  ConsumerHealth,
  GroupStatistics,
  LogLine,
  PartitionStatistics,
  ProducerEvents,
  Stall,
  Statistics,
  StatisticsWindow,
  TopicStatistics,
} from './client/events.ts';
export type { Producer, ProducerRecord } from './client/producer.ts';
export type { OAuthBearerToken, TokenProvider } from './client/token-refresher.ts';
export { type ConfigOptions, getConfig } from './config/get-config.ts';
export type { LibrdkafkaSettings, RoutedConfig } from './config/librdkafka-config.ts';
export type { LibrdkafkaValue } from './config/librdkafka-keys.ts';
export { getSslContext, type SecurityVars, type SslContext } from './config/security.ts';
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
  WorkerError,
} from './errors.ts';
export type { AnyHandler, MetricsRecorder } from './hooks.ts';
export type { WatchedConsumer, WatchedProducer } from './metrics/client-metrics.ts';
export type { CounterNames } from './metrics/definitions.ts';
export type { Exemplar, MetricsFormat } from './metrics/exposition.ts';
export {
  type Health,
  type HealthCheck,
  type HealthConsumer,
  type HealthOptions,
  type HealthProducer,
  type HealthReport,
  health,
} from './metrics/health.ts';
export { MetricsManager, type MetricsManagerOptions, type WatchedPool } from './metrics/manager.ts';
export { type MetricsHandler, metricsHandler } from './metrics/metrics-handler.ts';
export type { PushStatus } from './metrics/push-counts.ts';
export { createMetricsPusher, MetricsPusher, type MetricsPusherOptions } from './metrics/pusher.ts';
export { type MetricsPushing, type PushingOptions, startPushingMetrics } from './metrics/start-pushing.ts';
export { createTracing, type OpenTelemetryApi, type Tracing, type TracingOptions } from './metrics/tracing.ts';
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
export type { HandlerCall } from './patterns/handler-events.ts';
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
export { createPoolRunner, type PoolRunner, type RunPoolOptions, runPool } from './patterns/run-pool.ts';
export type { AnyConsumer, AnyProducer } from './patterns/shutdown.ts';
export type { PoolStats } from './pool/batch-pool.ts';
export { createDecodePool, type DecodePool, type DecodePoolOptions } from './pool/decode-pool.ts';
export type { Column } from './pool/decode-worker.ts';
export { definePoolDecoder, type PoolDecoderFactory } from './pool/decoder.ts';
export {
  definePoolHandler,
  type PoolCodec,
  type PoolContext,
  type PoolEnvironment,
  type PoolHandler,
  type PoolHandlerFactory,
  type PoolOutput,
  type PoolRecordHandler,
} from './pool/handler.ts';
export type { PoolOrder } from './pool/lanes.ts';
export type { PoolMode } from './pool/mode-chooser.ts';
export {
  describeRuntimeVars,
  type Environment,
  parseRuntimeVars,
  type RuntimeVarDescription,
  type RuntimeVarName,
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
  type RegisteredSchema,
  rawDeserializer,
  rawSerializer,
  type SchemaReference,
  type SchemaSource,
  type SerializeContext,
  type Serializer,
  stringDeserializer,
  Undecoded,
  undecodedAsRaw,
} from './serde.ts';
