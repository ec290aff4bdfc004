import { answer } from '../contender.ts';
import { produceByProgram } from './rdkafka_performance-client.ts';

answer(produceByProgram);
