import { consumeAllMessages, createConsumer, createProducer, type DetachedRecord } from 'rdkafka-toolkit';
import { ConsumerHandle } from '../../src/binding/consumer-handle.ts';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import type { RuntimeVars } from '../../src/runtime-vars.ts';
import type { Services } from './services.ts';

/** Produces `count` records with keys and values `0 … count - 1` and a header, all acknowledged. */
export async function fill(services: Services, topic: string, count: number, { partition }: { partition?: number } = {}): Promise<void> {
  const producer = await createProducer({ vars: services.vars() });
  for (let index = 0; index < count; index++) {
    const value = String(index);
    await producer.enqueue({ topic, partition, key: value, value, headers: { index: value } });
  }
  await producer.close();
}

/** Every record of a topic, from its start to its end. */
export async function readAll(services: Pick<Services, 'vars'>, topic: string): Promise<DetachedRecord[]> {
  await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
  const records: DetachedRecord[] = [];
  for await (const record of consumeAllMessages(consumer)) records.push(record.detach());
  return records;
}

/** Sum of the group's committed offsets over the partitions of a topic, 0 for those without one. */
export async function committedTotal(services: Services, vars: RuntimeVars, topic: string): Promise<number> {
  const committed = await committedOffsets(services, vars, topic);
  return committed.reduce<number>((sum, offset) => sum + (offset ?? 0), 0);
}

/** The group's committed offset of each of the 4 partitions of a topic. Does not join the group. */
export async function committedOffsets(
  services: Pick<Services, 'bootstrapServers'>,
  vars: RuntimeVars,
  topic: string,
): Promise<(number | undefined)[]> {
  const ignore = (): undefined => undefined;
  const handle = new ConsumerHandle(routeConfig('consumer', consumerSettings(vars)), {
    onRebalance: ignore,
    onOffsetCommit: ignore,
    onPartitionEof: ignore,
    onError: ignore,
    onStatistics: ignore,
    onLog: ignore,
  });
  await handle.connect(services.bootstrapServers, 10_000, undefined);
  const partitions = [0, 1, 2, 3].map((partition) => ({ topic, partition }));
  try {
    return await handle.committed(partitions, 20_000);
  } finally {
    await handle.disconnect(10_000);
  }
}
