import { runStream } from './platformatic-kafka-consume.ts';

// It has no batches: events come as fast as a fetch is parsed.
runStream('data');
