import type { ErrorCode } from '../errors.ts';

/** What the process of a command ends with; `--help` lists them. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  kafka: 3,
  registry: 4,
  record: 5,
  timeout: 6,
} as const;

/** One line for each of {@link exitCodes}, for the help. */
export const exitCodeHelp: string = `
Exit codes:
  0  done
  1  it failed for another reason than those below; doctor: at least one fault
  2  wrong arguments or runtime variables
  3  Kafka did not answer, refused the sign-in, or does not know the topic
  4  the schema registry did not give what was asked
  5  a record could not be encoded, decoded or delivered
  6  something took longer than its deadline
`;

const byErrorCode: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_CONFIG: exitCodes.usage,
  ERR_INCOMPATIBLE_ENVIRONMENT: exitCodes.usage,
  ERR_CONNECT: exitCodes.kafka,
  ERR_AUTHENTICATION: exitCodes.kafka,
  ERR_UNKNOWN_TOPIC: exitCodes.kafka,
  ERR_SCHEMA_REGISTRY: exitCodes.registry,
  ERR_ENCODE: exitCodes.record,
  ERR_DECODE: exitCodes.record,
  ERR_DELIVERY: exitCodes.record,
  ERR_TOO_LARGE: exitCodes.record,
  ERR_TIMEOUT: exitCodes.timeout,
  ERR_NO_MESSAGE: exitCodes.timeout,
};

/** The exit code for an error of this package. */
export function exitCodeOf(code: ErrorCode): number {
  return byErrorCode[code] ?? exitCodes.failure;
}
