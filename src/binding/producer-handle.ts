import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { brokersAnswer, ConnectTrace, connectClient, requestMetadata } from './connect.ts';
import { Loans } from './loans.ts';
import { type Client, type Metadata, makeClient, type RawError, type RawProducer, rdkafka } from './node-rdkafka.ts';
import type { PackedEvent } from './packed.ts';
import { PackedSink } from './packed-sink.ts';
import { PortableSink, type RawDeliveryReport } from './portable-sink.ts';
import type { OnDelivery, RecordSink } from './record-sink.ts';
import { TransactionCalls } from './transactions.ts';

/** What librdkafka reports about records produced. All are called on the event loop. */
export interface ProducerCallbacks {
  /** One report for each record that was added to the sink. */
  readonly onDelivery: OnDelivery;
  onError(error: RawError): void;
  onStatistics(json: string): void;
  onLog(line: { readonly severity: number; readonly fac: string; readonly message: string }): void;
}

/** The one place that calls node-rdkafka's producer. */
export class ProducerHandle {
  readonly #client: Client<RawProducer>;
  readonly #raw: RawProducer;
  readonly #trace = new ConnectTrace();
  readonly #callbacks: ProducerCallbacks;
  readonly #kind: RecordSink['kind'];
  readonly #loans = new Loans();
  #sink: RecordSink | undefined;
  /** For a producer with a `transactional.id`. */
  readonly transactions: TransactionCalls = new TransactionCalls(this);

  constructor(config: RoutedConfig, kind: RecordSink['kind'], callbacks: ProducerCallbacks) {
    this.#kind = kind;
    this.#callbacks = callbacks;
    // The addon takes the reports from librdkafka's main queue.
    this.#client = makeClient(rdkafka.Producer, { ...config.global, dr_cb: kind === 'portable' }, { ...config.topic });
    this.#raw = this.#client._client;
    this.#client.on('delivery-report', (error: RawError | null, report: RawDeliveryReport) => {
      if (this.#sink instanceof PortableSink) this.#sink.report(error, report);
    });
    this.#client.on('event.error', (error: RawError) => this.#error(error));
    this.#client.on('event.log', (line: { severity: number; fac: string; message: string }) => this.#log(line));
    this.#client.on('event.stats', (statistics: { message: string }) => callbacks.onStatistics(statistics.message));
  }

  #error(error: RawError): void {
    this.#trace.error(error);
    this.#callbacks.onError(error);
  }

  #log(line: { severity: number; fac: string; message: string }): void {
    this.#trace.log(line);
    this.#callbacks.onLog(line);
  }

  /** What the addon took from the main queue no longer reaches node-rdkafka's own callbacks. */
  #event({ type, code, fatal, severity, facility, text }: PackedEvent): void {
    // librdkafka puts the cause's number into a fatal event; the one for fatal says what it means for the client.
    if (type === 'error') this.#error({ code: fatal ? kafkaCodes.fatal : code, message: text });
    else if (type === 'statistics') this.#callbacks.onStatistics(text);
    else this.#log({ severity, fac: facility, message: text });
  }

  /** The token to sign in with by OAUTHBEARER, from now on; the first before {@link connect}. */
  setToken(token: string): void {
    this.#raw.setToken(token);
  }

  connect(bootstrapServers: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Metadata> {
    const pump = (): undefined => {
      this.sink.poll();
    };
    const letGo = (): void => this.#sink?.close();
    return connectClient(this.#client, this.#trace, { bootstrapServers, timeoutMs, signal, pump, letGo });
  }

  /** Where the records go. Only once the native client exists: from the first answer of `connect` to `disconnect`. */
  get sink(): RecordSink {
    this.#sink ??=
      this.#kind === 'packed'
        ? new PackedSink(this.#raw, this.#callbacks.onDelivery, (event) => this.#event(event))
        : new PortableSink(this.#raw, this.#callbacks.onDelivery);
    return this.#sink;
  }

  /** @internal node-rdkafka's C++ object, for the mock cluster's control and for tests of the addon. */
  get native(): RawProducer {
    return this.#raw;
  }

  metadata(topic: string, timeoutMs: number): Promise<Metadata | RawError> {
    return requestMetadata(this.#raw, { topic, timeout: timeoutMs });
  }

  brokersAnswer(timeoutMs: number): Promise<boolean> {
    return brokersAnswer(this.#raw, timeoutMs);
  }

  /** Calls the native client on another thread, which serves the reports meanwhile. */
  lend<T>(use: (raw: RawProducer) => Promise<T>): Promise<T> {
    return this.#loans.track(this.sink.servedElsewhere(() => use(this.#raw)));
  }

  /** Frees the native client; false when that took longer than `timeoutMs`. */
  async disconnect(timeoutMs: number): Promise<boolean> {
    if (!this.#client._isConnected) return true;
    // Freed under a call of another thread it would crash: then it is left to the end of the process.
    if (!(await this.#loans.returned(timeoutMs))) return false;
    this.#sink?.close();
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
