import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { definePoolHandler, type PoolHandlerFactory, type PoolOutput, stringDeserializer } from 'rdkafka-toolkit/worker';

type Text = string | null;

/** Does as each value says: `<output topic>|<action>|<argument>`. */
const handler: PoolHandlerFactory = definePoolHandler(
  () => ({ keyDeserializer: stringDeserializer, valueDeserializer: stringDeserializer }),
  ({ key, value, headers, timestamp }, { signal }) => {
    const [topic = '', action, argument = ''] = (value ?? '').split('|');
    const output = { topic, key, value: argument, headers, timestamp };
    const act: Readonly<Record<string, () => PoolOutput<Text, Text> | Promise<PoolOutput<Text, Text>>>> = {
      echo: () => output,
      none: () => undefined,
      twice: () => [output, { ...output, value: `${argument} again` }],
      later: async () => {
        await sleep(1);
        return output;
      },
      throw: () => {
        throw new RangeError(`no ${argument}`);
      },
      exit: () => process.exit(3),
      'exit-once': () => {
        if (existsSync(argument)) return { ...output, value: 'after the exit' };
        writeFileSync(argument, '');
        return process.exit(3);
      },
      'out-of-memory': () => {
        const hoard: number[][] = [];
        for (;;) hoard.push(new Array<number>(100_000).fill(hoard.length));
      },
      hang: () => {
        for (;;);
      },
      'wait-for-stop': async () => {
        await sleep(60_000, undefined, { signal }).catch(() => undefined);
        return output;
      },
      'fail-at-stop': async () => {
        await sleep(60_000, undefined, { signal });
        return output;
      },
      'lone-surrogate': () => ({ ...output, headers: { bad: '\ud800' } }),
      huge: () => ({ ...output, value: 'x'.repeat(3_000_000) }),
    };
    return act[action ?? '']!();
  },
);

export default handler;
