import { importPeer } from '../peers.ts';
import type { Binding } from './node-rdkafka-client.ts';
import { runConsume } from './node-rdkafka-consume.ts';

// Its callback API is node-rdkafka's.
runConsume(() => importPeer<Binding>('@confluentinc/kafka-javascript'));
