import { ConfigError } from '../errors.ts';
import { librdkafkaVarSettings, type RuntimeVars } from '../runtime-vars.ts';
import { type LibrdkafkaSettings, mergeSettings, settingFaults, settingValue } from './librdkafka-config.ts';
import type { LibrdkafkaValue } from './librdkafka-keys.ts';
import { securitySettings } from './security.ts';

/**
 * librdkafka's settings of a consumer, flat, for `routeConfig('consumer', …)`: from the runtime variables, then the environment's
 * `RDKAFKA_*`, then `overrides`; the last one wins.
 *
 * `enable.auto.offset.store` is always false: the toolkit stores an offset when its outputs are acknowledged. `APP_NAME` names the
 * group and the client, `HOSTNAME` the group's static member; an override `'group.instance.id': ''` takes the membership away.
 * `group.protocol` is left at librdkafka's classic.
 *
 * @throws ConfigError with every fault of the settings, a missing `KAFKA_BOOTSTRAP_SERVERS` or `APP_NAME` among them
 */
export function consumerSettings(vars: RuntimeVars, overrides?: LibrdkafkaSettings): Record<string, LibrdkafkaValue> {
  const settings = mergeSettings(
    { 'enable.partition.eof': false },
    identity(vars),
    securitySettings(vars),
    librdkafkaVarSettings(vars, 'consumer'),
    overrides,
    // Overridden only to be refused: true would lose records.
    { 'enable.auto.offset.store': overrides?.['enable.auto.offset.store'] ?? false },
  );
  if (settings['group.instance.id'] === '') delete settings['group.instance.id'];
  const faults = missingBrokers(settings);
  if ((settings['group.id'] ?? '') === '') {
    faults.push('Expected a consumer group: set APP_NAME, or pass groupId (group.id)');
  }
  faults.push(...settingFaults('consumer', settings));
  if (faults.length > 0) throw new ConfigError(faults);
  return settings;
}

/** The fault of settings that name no broker; librdkafka's mock cluster (`test.mock.num.brokers`) brings its own. */
export function missingBrokers(settings: LibrdkafkaSettings): string[] {
  const servers = String(settingValue(settings, 'bootstrap.servers') ?? '').trim();
  if (servers !== '' || Number(settings['test.mock.num.brokers'] ?? 0) > 0) return [];
  return ['Expected the address of at least one broker: set KAFKA_BOOTSTRAP_SERVERS, or pass bootstrap.servers'];
}

function identity(vars: RuntimeVars): LibrdkafkaSettings {
  const settings: Record<string, LibrdkafkaValue> = {};
  if (vars.APP_NAME !== undefined) {
    settings['client.id'] = vars.APP_NAME;
    settings['group.id'] = vars.APP_NAME;
  }
  if (vars.CONSUMER_STATIC_MEMBERSHIP && vars.HOSTNAME !== undefined) settings['group.instance.id'] = vars.HOSTNAME;
  return settings;
}
