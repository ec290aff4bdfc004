import { performance } from 'node:perf_hooks';
import { definePoolHandler, type PoolHandlerFactory, stringDeserializer } from 'rdkafka-toolkit/worker';

const WORK_MS = 0.05;

/** Works for a moment; gives `<topic>|<text>` back as text to that topic, in the record's own partition. */
const handler: PoolHandlerFactory = definePoolHandler(
  () => ({ valueDeserializer: stringDeserializer }),
  ({ partition, value }) => {
    for (const end = performance.now() + WORK_MS; performance.now() < end; );
    const [topic = '', text = ''] = (value ?? '').split('|');
    return { topic, partition, value: text };
  },
);

export default handler;
