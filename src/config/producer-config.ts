import { ConfigError } from '../errors.ts';
import { librdkafkaVarSettings, type RuntimeVars } from '../runtime-vars.ts';
import { missingBrokers } from './consumer-config.ts';
import { type LibrdkafkaSettings, mergeSettings, settingFaults, settingValue } from './librdkafka-config.ts';
import { findLibrdkafkaKey, type LibrdkafkaValue } from './librdkafka-keys.ts';
import { securitySettings } from './security.ts';

/**
 * librdkafka's settings of a producer, flat, for `routeConfig('producer', …)`: from the runtime variables, then the environment's
 * `RDKAFKA_*`, then `overrides`; the last one wins. `APP_NAME` names the client.
 *
 * With a `transactional.id`, `PRODUCER_DELIVERY_TIMEOUT_SECONDS` is capped at `transaction.timeout.ms`, as librdkafka caps its own
 * default: a record cannot outlive its transaction.
 *
 * @throws ConfigError with every fault of the settings, a missing `KAFKA_BOOTSTRAP_SERVERS` among them
 */
export function producerSettings(vars: RuntimeVars, overrides?: LibrdkafkaSettings): Record<string, LibrdkafkaValue> {
  const settings = capDeliveryTimeout(
    vars,
    mergeSettings(
      vars.APP_NAME === undefined ? {} : { 'client.id': vars.APP_NAME },
      securitySettings(vars),
      librdkafkaVarSettings(vars, 'producer'),
      overrides,
    ),
    overrides,
  );
  const faults = [...missingBrokers(settings), ...settingFaults('producer', settings)];
  if (faults.length > 0) throw new ConfigError(faults);
  return settings;
}

/** A timeout asked for by its librdkafka name is left alone, and reported when it does not fit the transaction's. */
function capDeliveryTimeout(
  vars: RuntimeVars,
  settings: Record<string, LibrdkafkaValue>,
  overrides: LibrdkafkaSettings = {},
): Record<string, LibrdkafkaValue> {
  const asked = settingValue(overrides, 'message.timeout.ms') ?? settingValue(vars.librdkafka, 'message.timeout.ms');
  if (settingValue(settings, 'transactional.id') === undefined || asked !== undefined) return settings;
  const limit = Number(settings['transaction.timeout.ms'] ?? findLibrdkafkaKey('transaction.timeout.ms')?.default);
  const timeout = Number(settings['message.timeout.ms']);
  // 0 means without end, which is longer than any transaction.
  return timeout === 0 || timeout > limit ? { ...settings, 'message.timeout.ms': limit } : settings;
}
