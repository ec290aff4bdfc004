import * as toolkit from 'rdkafka-toolkit';

/**
 * What snippets take for granted: a consumer, a producer, metrics, a handler, and every export of the package in those that show no import. A
 * declaration of the snippet's own goes before.
 */
export function globals(): string {
  const values = Object.keys(toolkit).map((name) => `  const ${name}: typeof import('rdkafka-toolkit').${name};`);
  return `import type * as toolkit from 'rdkafka-toolkit';
declare global {
${values.join('\n')}
  interface Order { id: number; amount: number }
  interface Invoice { id: number; total: number }
  const orderSchema: toolkit.AvroSchema<Order>;
  const invoiceSchema: toolkit.AvroSchema<Invoice>;
  const consumer: toolkit.Consumer<string | null, Order>;
  const producer: toolkit.Producer<Uint8Array | string | null, any>;
  const registry: toolkit.SchemaRegistryClient;
  const registryUrl: string;
  const metrics: toolkit.MetricsManager;
  const key: string;
  const value: Order;
  const stopping: boolean;
  const fetchToken: (options: { signal: AbortSignal }) => Promise<string>;
  const handler: toolkit.RecordHandler<string | null, Order, readonly toolkit.RecordHeader[], any, any>;
}
`;
}
