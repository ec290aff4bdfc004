/** `rdkafka-toolkit/fastify`. */
export type { CloseAtSignalOptions } from './http/close-at-signal.ts';
export { closeAtSignal, kafkaPlugin, produceRoute } from './http/fastify.ts';
export { type DeliveryState, type Problem, type ProblemAnswer, UnacknowledgedError } from './http/problem.ts';
export {
  type AppProducer,
  type KafkaTypes,
  type ProduceRouteOptions,
  WebApp,
  type WebAppOptions,
  type WebPaths,
} from './http/web-app.ts';
