/** `rdkafka-toolkit/stream`. */
export type {
  Agent,
  AgentGenerator,
  AgentHandler,
  AgentInput,
  AgentOptions,
  AgentResult,
  AgentStats,
  AgentStream,
  Sink,
} from './stream/agent.ts';
export { StreamAppWrapper } from './stream/app.ts';
export type { ProcessingGuarantee, StreamAppEvents, StreamAppOptions } from './stream/app-options.ts';
export { type HarnessRecord, type HarnessSend, StreamHarness, type StreamHarnessOptions } from './stream/harness.ts';
export { type LmdbStoreOptions, lmdbStore } from './stream/lmdb-store.ts';
export type { PartitionStatus, RecentError, StreamStatus, TableStatus } from './stream/status.ts';
export { memoryStore, type ShardStore, type StateStore, type StoreChange } from './stream/store.ts';
export type { Table, TableOptions, ValueTableOptions } from './stream/table.ts';
export { StreamTopic, type TopicOptions } from './stream/topic.ts';
export { type StatusServer, type StatusServerOptions, startStatusServer, statusHandler } from './stream/web.ts';
export { hopping, sliding, type TimeWindow, tumbling, type WindowKind, type WindowOptions } from './stream/window.ts';
export type { WindowedTable, WindowedTableOptions, WindowValue } from './stream/windowed-table.ts';
