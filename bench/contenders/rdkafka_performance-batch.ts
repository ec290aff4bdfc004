import { answer } from '../contender.ts';
import { consumeByProgram } from './rdkafka_performance-client.ts';

answer(consumeByProgram);
