import type { Consumer } from '../client/consumer.ts';
import type { AgentStats } from './agent.ts';
import type { StreamCore } from './core.ts';

/** An error an app has met. `at`: milliseconds since the epoch. */
export interface RecentError {
  readonly at: number;
  readonly message: string;
}

/** A partition that this process has. */
export interface PartitionStatus {
  readonly topic: string;
  readonly partition: number;
  /** Records not handed to an agent yet; undefined where no broker said. */
  readonly lagRecords: number | undefined;
}

/** A table and the part of it that this process has. */
export interface TableStatus {
  readonly name: string;
  readonly changelog: string;
  /** `tumbling 60 s` and the like; undefined for a plain table. */
  readonly window: string | undefined;
  readonly keys: number;
  /** Items that came too late for their windows. */
  readonly late: number;
  readonly shards: readonly { readonly partition: number; readonly keys: number; readonly recovered: boolean }[];
}

/** What an app is doing: of this process alone. */
export interface StreamStatus {
  readonly app: string;
  readonly guarantee: string;
  readonly running: boolean;
  readonly uptimeSeconds: number;
  readonly agents: readonly AgentStats[];
  readonly partitions: readonly PartitionStatus[];
  readonly tables: readonly TableStatus[];
  readonly recoveredRecords: number;
  /** Copies of shards that other processes have. */
  readonly standbyShards: number;
  /** The latest last. */
  readonly errors: readonly RecentError[];
}

/** What of an app its core does not know. */
export interface AppState {
  readonly guarantee: string;
  readonly startedAt: number;
  readonly consumer: Consumer<unknown, unknown> | undefined;
  readonly recoveredRecords: number;
  readonly standbyShards: number;
  readonly errors: readonly RecentError[];
}

export async function appStatus(core: StreamCore, state: AppState): Promise<StreamStatus> {
  const { consumer, errors, guarantee, recoveredRecords, standbyShards, startedAt } = state;
  return {
    app: core.name,
    guarantee,
    running: consumer !== undefined,
    uptimeSeconds: startedAt === 0 ? 0 : Math.max(0, Math.round((core.now() - startedAt) / 1000)),
    agents: core.agents.map(({ stats }) => stats),
    partitions: consumer === undefined ? [] : await partitionsOf(consumer),
    tables: [...core.tables.values()].map(({ changelog, name, windowed }) => {
      const shards = [...core.shards(name)].map(({ partition, recovered, size }) => ({ partition, keys: size, recovered }));
      const window = windowed?.window;
      return {
        name,
        changelog,
        window: window === undefined ? undefined : `${window.kind} ${window.sizeMs / 1000} s`,
        keys: shards.reduce((sum, { keys }) => sum + keys, 0),
        late: windowed?.late ?? 0,
        shards: shards.toSorted((a, b) => a.partition - b.partition),
      };
    }),
    recoveredRecords,
    standbyShards,
    errors: [...errors],
  };
}

async function partitionsOf(consumer: Consumer<unknown, unknown>): Promise<PartitionStatus[]> {
  const byPlace = (a: PartitionStatus, b: PartitionStatus): number => a.topic.localeCompare(b.topic) || a.partition - b.partition;
  try {
    return (await consumer.lag()).toSorted(byPlace);
  } catch {
    // An outage: what it has is known all the same.
    return consumer.closed
      ? []
      : consumer
          .assignment()
          .map((at) => ({ ...at, lagRecords: undefined }))
          .toSorted(byPlace);
  }
}
