/** A process of a stream app that counts records by their keys: `node stream-member.js TASK`, forked by `rows/stream-cluster.ts`. */
import { StreamAppWrapper } from 'rdkafka-toolkit/stream';
import { endWithParent, tellParent } from './parent-channel.ts';

/** What it is told. Everything else comes from the runtime variables. */
export interface StreamTask {
  readonly topic: string;
}

/** What it tells its parent. */
export type StreamMessage =
  | { readonly kind: 'partitions'; readonly count: number }
  | { readonly kind: 'recovered'; readonly records: number; readonly milliseconds: number }
  | { readonly kind: 'handled'; readonly count: number }
  | { readonly kind: 'error'; readonly message: string };

const { topic } = JSON.parse(process.argv[2] ?? '') as StreamTask;
const tell = (message: StreamMessage): void => tellParent(message);
endWithParent();

const app = new StreamAppWrapper({ guarantee: 'exactly-once' });
const counts = app.table<string, number>('counts');
const agent = app.agent(topic, ({ key }) => void counts.update(key, (count = 0) => count + 1));
let partitions = 0;
app.on('assigned', ({ length }) => {
  partitions += length;
  tell({ kind: 'partitions', count: partitions });
});
app.on('revoked', ({ length }) => {
  partitions -= length;
  tell({ kind: 'partitions', count: partitions });
});
app.on('recovered', ({ milliseconds, records }) => tell({ kind: 'recovered', records, milliseconds }));
app.on('error', (error) => tell({ kind: 'error', message: String(error) }));
app.timer(0.1, () => tell({ kind: 'handled', count: agent.handled }));
await app.run();
