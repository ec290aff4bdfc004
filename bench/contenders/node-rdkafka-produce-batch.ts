// node-rdkafka produces records one by one.
import './node-rdkafka-produce.ts';
