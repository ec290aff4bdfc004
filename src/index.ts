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
export {
  type ClientOptions,
  type ConsumerOptions,
  createConsumer,
  createProducer,
  type ProducerOptions,
} from './delivery/create-clients.ts';
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
} from './errors.ts';
export type { AnyHandler, MetricsRecorder } from './hooks.ts';
export type { WatchedConsumer, WatchedProducer } from './metrics/client-metrics.ts';
export type { CounterNames } from './metrics/definitions.ts';
export type { Exemplar, MetricsFormat } from './metrics/exposition.ts';
export { type Health, type HealthCheck, type HealthOptions, type HealthReport, health } from './metrics/health.ts';
export { MetricsManager, type MetricsManagerOptions, type WatchedPool } from './metrics/manager.ts';
export { type MetricsHandler, metricsHandler } from './metrics/metrics-handler.ts';
export type { PushStatus } from './metrics/push-counts.ts';
export { createMetricsPusher, MetricsPusher, type MetricsPusherOptions } from './metrics/pusher.ts';
export { type MetricsPushing, type PushingOptions, startPushingMetrics } from './metrics/start-pushing.ts';
export { createTracing, type OpenTelemetryApi, type Tracing, type TracingOptions } from './metrics/tracing.ts';
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
  type BatchHandler,
  type HandlerContext,
  type HandlerResult,
  type RecordHandler,
  type RunBatchOptions,
  type RunOptions,
  type RunRecordOptions,
  type RunResult,
  runAsync,
  runBatch,
  runSync,
} from './patterns/run.ts';
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
