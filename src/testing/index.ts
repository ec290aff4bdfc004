export { MOCK_PARTITIONS, type MockCluster, type MockClusterOptions, startMockCluster } from './mock-cluster.ts';
export { COMPATIBILITY_LEVELS, type CompatibilityLevel } from './schema-registry-avro.ts';
export type { SchemaRegistryFault } from './schema-registry-faults.ts';
export { type SchemaRegistryServer, type SchemaRegistryServerOptions, startSchemaRegistry } from './schema-registry-server.ts';
