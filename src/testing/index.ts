export {
  MOCK_APIS,
  MOCK_PARTITIONS,
  type MockApi,
  type MockCluster,
  type MockClusterOptions,
  type MockTopic,
  startMockCluster,
} from './mock-cluster.ts';
export { COMPATIBILITY_LEVELS, type CompatibilityLevel } from './schema-registry-avro.ts';
export type { SchemaRegistryFault } from './schema-registry-faults.ts';
export { type SchemaRegistryServer, type SchemaRegistryServerOptions, startSchemaRegistry } from './schema-registry-server.ts';
