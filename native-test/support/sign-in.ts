import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import {
  ConnectError,
  type ConsumerOptions,
  consumeMessage,
  createConsumer,
  createProducer,
  enqueueAutoCommits,
  type OAuthBearerToken,
  parseRuntimeVars,
  type RuntimeVars,
} from 'rdkafka-toolkit';

/** Runtime variables for a broker that wants to know who comes, with a group of its own. */
export function securedVars(bootstrapServers: string, extra: Readonly<Record<string, string>>): RuntimeVars {
  return parseRuntimeVars({
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    APP_NAME: `group-${randomUUID()}`,
    CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '10',
    CONNECT_TIMEOUT_SECONDS: '20',
    ...extra,
  });
}

/** Produces a record and consumes until it comes back. */
export async function roundTrip(vars: RuntimeVars, topic: string, options: Pick<ConsumerOptions, 'tokenProvider'> = {}): Promise<void> {
  const key = randomUUID();
  await using producer = await createProducer({ vars, ...options });
  await using consumer = await createConsumer({ vars, topics: [topic], producers: [producer], ...options });
  await producer.send({ topic, key, value: 'x' });
  for (;;) {
    const record = await consumeMessage(consumer);
    enqueueAutoCommits(consumer, record);
    if (String(record.key) === key) return;
  }
}

/** An unsigned JWT, which the brokers' test validator takes, for so many milliseconds. */
export function unsignedJwt(lifeMs: number, subject = 'alice'): OAuthBearerToken {
  const part = (claims: object): string => Buffer.from(JSON.stringify(claims)).toString('base64url');
  const now = Date.now() / 1000;
  return { value: `${part({ alg: 'none' })}.${part({ sub: subject, iat: now - 1, exp: now + lifeMs / 1000 })}.` };
}

/** Both clients are refused: their errors, which hold none of the secrets. */
export async function refusals(
  vars: RuntimeVars,
  topic: string,
  { secrets = [], ...options }: Pick<ConsumerOptions, 'tokenProvider'> & { readonly secrets?: readonly string[] } = {},
): Promise<ConnectError[]> {
  const errors: ConnectError[] = [];
  for (const connect of [() => createConsumer({ vars, topics: [topic], ...options }), () => createProducer({ vars, ...options })]) {
    const error: unknown = await connect().then(
      (client) => client.close().then(() => assert.fail('let in')),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ConnectError, inspect(error));
    const text = inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true });
    for (const secret of secrets) assert.ok(!text.includes(secret), text);
    errors.push(error);
  }
  return errors;
}
