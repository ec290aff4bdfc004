import type { Certificates } from './certificates.ts';

/** The user that the SASL listeners of every broker know, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. OAUTHBEARER takes any unsigned JWT. */
export const saslUser = { username: 'alice', password: 'alice-secret' } as const;

export const scramMechanisms = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;

/** Each listener of a broker has a port of its own. */
const listenerProtocols = {
  PLAINTEXT: 'PLAINTEXT',
  SASL: 'SASL_PLAINTEXT',
  CONTROLLER: 'PLAINTEXT',
  TLS: 'SSL',
  /** Asks for a client certificate. */
  MTLS: 'SSL',
  SASLTLS: 'SASL_SSL',
} as const;

export type ListenerName = keyof typeof listenerProtocols;

const plainListeners = ['PLAINTEXT', 'SASL', 'CONTROLLER'] as const;
const tlsListeners = ['TLS', 'MTLS', 'SASLTLS'] as const;

/** The listeners of a broker; those of TLS need certificates. */
export function listenerNames(tls: boolean): readonly ListenerName[] {
  return tls ? [...plainListeners, ...tlsListeners] : plainListeners;
}

export type ListenerPorts = Readonly<
  Record<(typeof plainListeners)[number], number> & Partial<Record<(typeof tlsListeners)[number], number>>
>;

export type ServerProperties = Readonly<Record<string, string | number | boolean>>;

export interface ServerPropertiesOptions {
  /** Broker id, from 1; `nodes[id - 1]` are its ports. */
  readonly id: number;
  readonly nodes: readonly ListenerPorts[];
  readonly dataDirectory: string;
  readonly autoCreateTopics: boolean;
  /** Undefined: no listener speaks TLS. */
  readonly certificates: Certificates | undefined;
  /** Laid over everything else. */
  readonly overrides: ServerProperties;
}

/** Text of `server.properties` for one combined broker and controller of a throw-away KRaft cluster. */
export function serverProperties({ id, nodes, dataDirectory, autoCreateTopics, certificates, overrides }: ServerPropertiesOptions): string {
  // nodes has an entry for every id from 1 on.
  const own = nodes[id - 1]!;
  const properties: ServerProperties = {
    'process.roles': 'broker,controller',
    'node.id': id,
    'log.dirs': dataDirectory,
    ...listeners(own),
    ...tls(certificates),
    'controller.quorum.voters': nodes.map((ports, index) => `${index + 1}@127.0.0.1:${ports.CONTROLLER}`).join(','),
    ...replication(nodes.length),
    // A killed broker is noticed after 3 s (Kafka's default: 9 s); its restart must wait for that before it may register again.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1_000,
    'num.partitions': 4,
    'auto.create.topics.enable': autoCreateTopics,
    'num.network.threads': 2,
    'num.io.threads': 4,
    // Taken from the heap at once, 128 MB by default: a broker here has 400 MB.
    'log.cleaner.dedupe.buffer.size': 8 * 1_048_576,
    'log.index.size.max.bytes': 1_048_576,
    ...overrides,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

function listeners(ports: ListenerPorts): ServerProperties {
  const names = Object.keys(ports) as (keyof ListenerPorts)[];
  const addresses = (of: readonly (keyof ListenerPorts)[]): string => of.map((name) => `${name}://127.0.0.1:${ports[name]}`).join(',');
  return {
    listeners: addresses(names),
    'advertised.listeners': addresses(names.filter((name) => name !== 'CONTROLLER')),
    'listener.security.protocol.map': names.map((name) => `${name}:${listenerProtocols[name]}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'sasl.enabled.mechanisms': ['PLAIN', ...scramMechanisms, 'OAUTHBEARER'].join(','),
    ...Object.assign({}, ...names.filter((name) => name.startsWith('SASL')).map(signIn)),
  };
}

/** Who may sign in at a listener. */
function signIn(listener: string): ServerProperties {
  const security = 'org.apache.kafka.common.security';
  const module = (mechanism: string, text: string): ServerProperties => ({
    [`listener.name.${listener.toLowerCase()}.${mechanism.toLowerCase()}.sasl.jaas.config`]: `${security}.${text};`,
  });
  return {
    ...module('PLAIN', `plain.PlainLoginModule required user_${saslUser.username}="${saslUser.password}"`),
    ...module('OAUTHBEARER', 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"'),
    ...Object.assign({}, ...scramMechanisms.map((mechanism) => module(mechanism, 'scram.ScramLoginModule required'))),
  };
}

function tls(certificates: Certificates | undefined): ServerProperties {
  if (certificates === undefined) return {};
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': certificates.brokerKeystore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': certificates.ca,
    'listener.name.mtls.ssl.client.auth': 'required',
  };
}

/** Internal topics are as safe as the number of brokers allows, with few partitions: 50 of each would only slow the start. */
function replication(brokers: number): ServerProperties {
  const minInSync = Math.max(1, brokers - 1);
  return {
    'default.replication.factor': brokers,
    'min.insync.replicas': minInSync,
    'offsets.topic.replication.factor': brokers,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': brokers,
    'transaction.state.log.min.isr': minInSync,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': brokers,
    'share.coordinator.state.topic.min.isr': minInSync,
  };
}
