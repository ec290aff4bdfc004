import { answer } from '../contender.ts';
import { runPython } from './confluent-kafka-python-client.ts';

answer(runPython);
