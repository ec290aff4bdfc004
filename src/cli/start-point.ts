import { InvalidArgumentError } from 'commander';
import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { Consumer } from '../client/consumer.ts';

/** Where reading begins: the first record, behind the last, an offset, so many before the end, or a time. */
export type StartPoint =
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'offset' | 'last'; readonly offset: number }
  | { readonly kind: 'time'; readonly timestampMs: number };

/** What `--from` takes. */
export function parseStartPoint(text: string): StartPoint {
  if (text === 'start' || text === 'end') return { kind: text };
  if (/^\d+$/.test(text)) return { kind: 'offset', offset: Number(text) };
  if (/^-[1-9]\d*$/.test(text)) return { kind: 'last', offset: -Number(text) };
  const timestampMs = Date.parse(text);
  if (!Number.isNaN(timestampMs)) return { kind: 'time', timestampMs };
  throw new InvalidArgumentError('Expected start, end, an offset, -10 for the last 10 of each partition, or an ISO time.');
}

/** The offset to begin a partition at. */
export async function startOffset(
  consumer: Consumer,
  at: TopicPartition,
  from: StartPoint,
  { low, high }: { readonly low: number; readonly high: number },
): Promise<number> {
  switch (from.kind) {
    case 'start':
      return low;
    case 'end':
      return high;
    case 'offset':
      return Math.min(Math.max(from.offset, low), high);
    case 'last':
      return Math.max(low, high - from.offset);
    case 'time': {
      const [offset] = await consumer.handle.offsetsForTime([at], from.timestampMs, 10_000);
      return offset ?? high;
    }
  }
}
