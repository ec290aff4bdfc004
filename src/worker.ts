/** What handler modules of a pool import: all of the package that loads in a worker thread. */
export { AvroDecimal } from './avro/decimal.ts';
export { type AvroDeserializerOptions, createAvroDeserializer } from './avro/deserializer.ts';
export type { LogicalType, LogicalTypeAttributes, LogicalTypes } from './avro/logical-type.ts';
export { type AvroDuration, standardLogicalTypes } from './avro/logical-types.ts';
export type { LongAs } from './avro/long-types.ts';
export type { AvroTypeOptions } from './avro/parse-type.ts';
export { type AvroSchema, type AvroSchemaJson, type AvroValue, avroSchema, defineSchema } from './avro/schema.ts';
export { type AvroSerializerOptions, createAvroSerializer } from './avro/serializer.ts';
export type { SubjectNameStrategy } from './avro/subject-name.ts';
export type { ConsumerRecord, DetachedRecord } from './binding/record-batch.ts';
export type { ProducerRecord } from './client/encode-record.ts';
export { DecodeError, EncodeError, type ErrorCode, isToolkitError, SchemaRegistryError, ToolkitError } from './errors.ts';
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
  type SchemaSource,
  type SerializeContext,
  type Serializer,
  stringDeserializer,
  Undecoded,
  undecodedAsRaw,
} from './serde.ts';
