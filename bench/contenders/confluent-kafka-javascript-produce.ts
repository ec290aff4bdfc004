import { importPeer } from '../peers.ts';
import type { Binding } from './node-rdkafka-client.ts';
import { runProduce } from './node-rdkafka-send.ts';

// Its callback API is node-rdkafka's.
runProduce(() => importPeer<Binding>('@confluentinc/kafka-javascript'));
