import { runConsume } from './node-rdkafka-consume.ts';

runConsume();
