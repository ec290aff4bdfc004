import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { ConnectTrace, connectClient, requestMetadata } from './connect.ts';
import { type Client, type Metadata, type RawError, type RawProducer, rdkafka } from './node-rdkafka.ts';

/** What librdkafka reports about records produced. All are called on the event loop. */
export interface ProducerCallbacks {
  /** One report for each accepted record; `ticket` is what `produce` was given. */
  onDelivery(ticket: number, error: RawError | null, partition: number, offset: number, timestamp: number): void;
  onError(error: RawError): void;
  onStatistics(json: string): void;
  onLog(line: { readonly severity: number; readonly fac: string; readonly message: string }): void;
}

interface DeliveryReport {
  readonly opaque: number;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp?: number;
}

/** node-rdkafka sends an empty buffer without memory behind it as null; this one has memory. */
const empty = Buffer.from([0]).subarray(0, 0);

/** The one place that calls node-rdkafka's producer. */
export class ProducerHandle {
  readonly #client: Client<RawProducer>;
  readonly #raw: RawProducer;
  readonly #trace = new ConnectTrace();

  constructor(config: RoutedConfig, callbacks: ProducerCallbacks) {
    this.#client = new rdkafka.Producer({ ...config.global, dr_cb: true }, { ...config.topic });
    this.#raw = this.#client._client;
    this.#client.on('delivery-report', (error: RawError | null, report: DeliveryReport) => {
      callbacks.onDelivery(report.opaque, error, report.partition, report.offset, report.timestamp ?? -1);
    });
    this.#client.on('event.error', (error: RawError) => {
      this.#trace.error(error);
      callbacks.onError(error);
    });
    this.#client.on('event.log', (line: { severity: number; fac: string; message: string }) => {
      this.#trace.log(line);
      callbacks.onLog(line);
    });
    this.#client.on('event.stats', (statistics: { message: string }) => callbacks.onStatistics(statistics.message));
  }

  connect(bootstrapServers: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Metadata> {
    const pump = (): undefined => {
      this.#raw.poll();
    };
    return connectClient(this.#client, this.#trace, { bootstrapServers, timeoutMs, signal, pump });
  }

  /** Hands a record to librdkafka, which copies it. Returns 0 or librdkafka's error number; never throws for a full queue. */
  produce(
    topic: string,
    partition: number | null,
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number | undefined,
    headers: readonly object[] | undefined,
    ticket: number,
  ): number {
    const sentValue = value?.length === 0 ? empty : value;
    return this.#raw.produce(topic, partition, sentValue, key?.length === 0 ? empty : key, timestamp, ticket, headers);
  }

  /** Serves delivery reports and events that are ready. */
  poll(): void {
    if (this.#client._isConnected) this.#raw.poll();
  }

  metadata(topic: string, timeoutMs: number): Promise<Metadata | RawError> {
    return requestMetadata(this.#raw, { topic, timeout: timeoutMs });
  }

  /**
   * Sends what lingers and waits up to `timeoutMs`. Reports of failed records may still be on their way when it is done: count
   * reports, do not trust this alone.
   */
  flush(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => this.#raw.flush(timeoutMs, () => resolve()));
  }

  /** Frees the native client; false when that took longer than `timeoutMs`. */
  async disconnect(timeoutMs: number): Promise<boolean> {
    if (!this.#client._isConnected) return true;
    this.#client._isConnected = false;
    let timer: NodeJS.Timeout | undefined;
    const closed = new Promise<boolean>((resolve) => {
      this.#raw.disconnect(() => {
        this.#raw.configureCallbacks(false, this.#client._cb_configs);
        resolve(true);
      });
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const clean = await closed;
    clearTimeout(timer);
    return clean;
  }
}
