import { runStream } from './platformatic-kafka-consume.ts';

runStream('iterate');
