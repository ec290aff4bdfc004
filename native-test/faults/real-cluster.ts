import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';

/** Three real brokers for all faults that need them, started for the first one. */
export class RealCluster {
  #starting: Promise<KafkaCluster> | undefined;

  /** Whatever the fault before did to the brokers, they all run when this resolves. */
  async healthy(): Promise<KafkaCluster> {
    this.#starting ??= startKafka({ brokers: 3 });
    const cluster = await this.#starting;
    for (const broker of cluster.brokers) {
      if (broker.running) broker.resume();
      else await broker.restart();
    }
    return cluster;
  }

  async close(): Promise<void> {
    const cluster = await this.#starting?.catch(() => undefined);
    await cluster?.close();
  }
}
