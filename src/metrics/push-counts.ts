import { type CounterNames, exposedName, type MetricDefinition, pushDefinitions } from './definitions.ts';
import type { MetricFamily, Sample } from './exposition.ts';

/** What the pushing did so far. */
export interface PushStatus {
  /** Pods known by the last resolution. */
  readonly targets: number;
  /** Pushes to one pod that were accepted. */
  readonly pushes: number;
  /** Pushes to one pod, or resolutions, that failed, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /** Pushes left out: one to the same pod was under way, or the pod had failed lately. */
  readonly skipped: number;
  /** Seconds since the epoch; 0 before the first. */
  readonly lastSuccessSeconds: number;
  /** How long the last accepted push took. */
  readonly durationSeconds: number;
  /** How old what is pushed besides counts was at the last push. */
  readonly snapshotAgeSeconds: number;
}

/** Counts the pushing, where it is done and where it is shown. */
export class PushCounts {
  #status: PushStatus | undefined;

  /** Undefined before the first push. */
  get status(): PushStatus | undefined {
    return this.#status;
  }

  /** Takes over what another thread counted. */
  update(status: PushStatus): void {
    this.#status = status;
  }

  accepted(durationSeconds: number): void {
    const { pushes } = this.#change({ durationSeconds, lastSuccessSeconds: Date.now() / 1000 });
    this.#change({ pushes: pushes + 1 });
  }

  failed(reason: string): void {
    const { failures } = this.#change({});
    this.#change({ failures: { ...failures, [reason]: (failures[reason] ?? 0) + 1 } });
  }

  skipped(): void {
    const { skipped } = this.#change({});
    this.#change({ skipped: skipped + 1 });
  }

  resolved(targets: number): void {
    this.#change({ targets });
  }

  snapshotAge(snapshotAgeSeconds: number): void {
    this.#change({ snapshotAgeSeconds });
  }

  #change(changes: Partial<PushStatus>): PushStatus {
    this.#status = { ...(this.#status ?? nothing), ...changes };
    return this.#status;
  }

  families(labels: Sample['labels'], counterNames: CounterNames): MetricFamily[] {
    if (this.#status === undefined) return [];
    const { targets, pushes, failures, skipped, lastSuccessSeconds, durationSeconds, snapshotAgeSeconds } = this.#status;
    const family = (definition: MetricDefinition, values: readonly Sample[]): MetricFamily => {
      const { type, help } = definition;
      return { name: exposedName(definition, counterNames), type, help, values };
    };
    const single = (definition: MetricDefinition, value: number): MetricFamily => family(definition, [{ labels, value }]);
    return [
      single(pushDefinitions.targets, targets),
      single(pushDefinitions.pushes, pushes),
      family(
        pushDefinitions.failures,
        Object.entries(failures).map(([reason, value]) => ({ labels: { ...labels, reason }, value })),
      ),
      single(pushDefinitions.skipped, skipped),
      single(pushDefinitions.lastSuccess, lastSuccessSeconds),
      single(pushDefinitions.duration, durationSeconds),
      single(pushDefinitions.snapshotAge, snapshotAgeSeconds),
    ];
  }
}

const nothing: PushStatus = {
  targets: 0,
  pushes: 0,
  failures: {},
  skipped: 0,
  lastSuccessSeconds: 0,
  durationSeconds: 0,
  snapshotAgeSeconds: 0,
};
