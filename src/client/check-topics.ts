import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import { ConnectError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';

/** How long topics that are missing are asked for. */
const GIVE_UP_MS = 3_000;

/**
 * Looks whether topics exist. One that was just created may take a moment to be known everywhere, so a missing one is asked for some times;
 * patterns (`^…`) are left out.
 *
 * @throws ConnectError naming those that do not
 */
export async function checkTopics(
  handle: ConsumerHandle,
  topics: readonly string[],
  {
    bootstrapServers,
    deadline,
    signal,
  }: { readonly bootstrapServers: string; readonly deadline: number; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const giveUp = Math.min(deadline, Date.now() + GIVE_UP_MS);
  let missing = topics.filter((topic) => !topic.startsWith('^'));
  while (missing.length > 0) {
    const remaining: string[] = [];
    for (const topic of missing) {
      const metadata = await handle.metadata(topic, Math.max(1, deadline - Date.now()));
      if (!metadata.topics.some(({ name, partitions }) => name === topic && partitions.length > 0)) remaining.push(topic);
    }
    missing = remaining;
    if (missing.length === 0) return;
    if (Date.now() >= giveUp) {
      throw new ConnectError(
        `Unknown topic at ${bootstrapServers}: ${missing.join(', ')}. ` +
          "Create it, or check its name (CONSUME_TOPICS) and the permission to read it; with the option missingTopics: 'wait' a consumer waits for it.",
        { code: 'ERR_UNKNOWN_TOPIC', kafkaCode: kafkaCodes.unknownTopicOrPartition, topic: missing[0] },
      );
    }
    await orAborted(sleep(200), signal);
  }
}
