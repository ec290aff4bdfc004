/** `rdkafka-toolkit/express`. */
export type { CloseAtSignalOptions } from './http/close-at-signal.ts';
export { closeAtSignal, kafkaErrors, produceRoute, useKafka } from './http/express.ts';
export { type DeliveryState, type Problem, type ProblemAnswer, UnacknowledgedError } from './http/problem.ts';
export {
  type AppProducer,
  type KafkaTypes,
  type ProduceRouteOptions,
  WebApp,
  type WebAppOptions,
  type WebPaths,
} from './http/web-app.ts';
