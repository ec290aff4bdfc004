import { runProduce } from './node-rdkafka-send.ts';

runProduce();
