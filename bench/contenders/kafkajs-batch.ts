import { runKafkaJs } from './kafkajs-client.ts';

runKafkaJs('eachBatch');
