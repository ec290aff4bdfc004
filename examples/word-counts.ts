/**
 * Word counts by minute as a stream app: sentences are cut into words, the words go on under themselves as keys, and a windowed table counts
 * them; a timer looks at the counts meanwhile.
 *
 * Guarantee: at least once: after a crash some words may be counted twice (`guarantee: 'exactly-once'` counts each once, on a real Kafka).
 * Ordering: per partition. A window closes when the records of its partition are a minute beyond it.
 */
import { createProducer, jsonSerializer } from 'rdkafka-toolkit';
import { StreamAppWrapper, tumbling } from 'rdkafka-toolkit/stream';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const SENTENCES = ['the record goes to the topic', 'the topic has a lag', 'a record has an offset', 'no record is lost'];
const MINUTES = 3;
const PER_MINUTE = 60;
const MINUTE_MS = 60_000;
/** Noon of some day. */
const START_MS = 1_767_268_800_000;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const [input, cut] = [await services.topic('sentences'), await services.topic('words')];
  const vars = services.vars('word-counts', { CONSUMER_STATIC_MEMBERSHIP: 'false' });
  await services.ownTopic(`${vars.APP_NAME}-counts-changelog`);

  const app = new StreamAppWrapper({ vars, signal: stop });
  const sentences = app.topic<string, string>(input);
  const words = app.topic<string, string>(cut);
  const counts = app.windowedTable<string, string, number>('counts', {
    window: tumbling(60, { graceSeconds: 3_600 }),
    initial: () => 0,
    add: (count) => count + 1,
    topics: [words],
  });
  app.agent(sentences, ({ timestamp, value }) => value.split(' ').map((word) => words.record(word, word, { timestamp })));
  const counter = app.agent(words, ({ key, value }) => counts.add(key, value));
  let looks = 0;
  app.timer(0.1, () => {
    looks++;
  });

  const expected = new Map<string, number>();
  let sent = 0;
  await using producer = await createProducer({ vars, valueSerializer: jsonSerializer<string>() });
  for (let number = 0; number < MINUTES * PER_MINUTE; number++) {
    const timestamp = START_MS + number * (MINUTE_MS / PER_MINUTE);
    const sentence = SENTENCES[number % SENTENCES.length]!;
    await producer.enqueue({ topic: input, key: String(number), value: sentence, timestamp });
    for (const word of sentence.split(' ')) {
      const place = `${word} ${Math.floor(timestamp / MINUTE_MS)}`;
      expected.set(place, (expected.get(place) ?? 0) + 1);
      sent++;
    }
  }
  await producer.flush();

  const running = app.run();
  let counted = new Map<string, number>();
  const watch = setInterval(() => {
    if (counter.handled < sent) return;
    clearInterval(watch);
    // While it runs: when it has ended, others have its partitions.
    counted = new Map([...counts.entries()].map(([word, { start, value }]) => [`${word} ${start / MINUTE_MS}`, value]));
    void app.stop();
  }, 20);
  await running.finally(() => clearInterval(watch));

  const wrong = [...expected].filter(([place, count]) => counted.get(place) !== count);
  return {
    line: `words ${sent}, windows ${counted.size}, wrong ${wrong.length}`,
    ok: wrong.length === 0 && counted.size === expected.size && looks > 0,
  };
}

await runMain('word-counts', main);
