import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { consumerSettings } from './consumer-config.ts';
import { type LibrdkafkaSettings, type RoutedConfig, routeConfig } from './librdkafka-config.ts';
import { producerSettings } from './producer-config.ts';

/** Options of {@link getConfig}. */
export interface ConfigOptions {
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /** Any librdkafka key; wins over the runtime variables. */
  readonly config?: LibrdkafkaSettings | undefined;
}

/**
 * librdkafka's configuration as a client of this package would get it, for code that uses node-rdkafka itself:
 * `new KafkaConsumer(global, topic)`. Holds secrets: log it through a redacting logger only.
 *
 * @throws ConfigError with every fault of the configuration
 */
export function getConfig(kind: 'consumer' | 'producer', { vars = parseRuntimeVars(), config }: ConfigOptions = {}): RoutedConfig {
  return routeConfig(kind, kind === 'consumer' ? consumerSettings(vars, config) : producerSettings(vars, config));
}
