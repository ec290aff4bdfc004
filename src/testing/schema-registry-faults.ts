import { ConfigError } from '../errors.ts';

/**
 * Makes requests fail, slow down or hang. With nothing but `match` and `times`, the answer is 500 with code 50001.
 *
 * @example
 * ```ts
 * const heal = server.fail({ match: /^GET \/schemas/, status: 503, times: 2 });
 * ```
 */
export interface SchemaRegistryFault {
  /** Tested on `METHOD /path`, the path as sent (percent-encoded, without its query). @default every request */
  readonly match?: RegExp;
  /** HTTP status to answer with, 200 to 599. @default 500, or 200 with `garbage` */
  readonly status?: number;
  /** Body to answer with; a string is sent as it is, anything else as JSON. @default `{ error_code, message }` for `status` */
  readonly body?: unknown;
  /** Wait this long first, in milliseconds. Alone, the request is then answered as usual. @default 0 */
  readonly delayMs?: number;
  /** Never answer; the socket stays open until the client or {@link SchemaRegistryServer.close} ends it. @default false */
  readonly hang?: boolean;
  /** Answer with HTML under the registry's content type, as a broken proxy would. @default false */
  readonly garbage?: boolean;
  /** Number of requests to spoil before the rule goes by itself. @default no limit */
  readonly times?: number;
}

/** What to do with one request. `reply` is undefined when it is to be answered as usual. */
export interface FaultAction {
  readonly delayMs: number;
  readonly hang: boolean;
  readonly reply: { readonly status: number; readonly body: string } | undefined;
}

interface Rule {
  readonly match: RegExp | undefined;
  readonly action: FaultAction;
  left: number;
}

/** The rules in force. The first added that matches a request decides. */
export class FaultRules {
  readonly #rules = new Set<Rule>();

  /** @throws ConfigError naming every setting that is wrong. */
  add(fault: SchemaRegistryFault): () => void {
    assertValid(fault);
    // Without g and y: they make `test` depend on the call before.
    const match = fault.match && new RegExp(fault.match.source, fault.match.flags.replace(/[gy]/g, ''));
    const rule: Rule = { match, action: toAction(fault), left: fault.times ?? Number.POSITIVE_INFINITY };
    this.#rules.add(rule);
    return () => {
      this.#rules.delete(rule);
    };
  }

  /** Takes one use of the rule that applies to `METHOD /path`. */
  take(request: string): FaultAction | undefined {
    for (const rule of this.#rules) {
      if (rule.match !== undefined && !rule.match.test(request)) continue;
      rule.left -= 1;
      if (rule.left <= 0) this.#rules.delete(rule);
      return rule.action;
    }
    return undefined;
  }
}

function toAction({ status, body, delayMs = 0, hang = false, garbage = false }: SchemaRegistryFault): FaultAction {
  if (garbage) return { delayMs, hang, reply: { status: status ?? 200, body: '<html><body>Bad gateway</body></html>' } };
  if (delayMs > 0 && status === undefined && body === undefined) return { delayMs, hang, reply: undefined };
  const code = status ?? 500;
  const fallback = { error_code: code === 500 ? 50001 : code, message: 'Error in the backend data store' };
  return { delayMs, hang, reply: { status: code, body: typeof body === 'string' ? body : JSON.stringify(body ?? fallback) } };
}

function assertValid(fault: SchemaRegistryFault): void {
  const { status, delayMs, times } = fault;
  const faults: string[] = [];
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 599)) {
    faults.push(`Expected status to be an HTTP status from 200 to 599, got ${status}`);
  }
  if (delayMs !== undefined && !(delayMs >= 0 && delayMs <= 2 ** 31 - 1)) {
    faults.push(`Expected delayMs to be a number of milliseconds ≥ 0, got ${delayMs}`);
  }
  if (times !== undefined && !(times >= 1)) faults.push(`Expected times to be a number ≥ 1, got ${times}`);
  if (fault.hang === true && (status !== undefined || fault.body !== undefined || fault.garbage === true)) {
    faults.push('hang never answers: leave out status, body and garbage');
  }
  if (fault.garbage === true && fault.body !== undefined) faults.push('garbage has a body of its own: leave out body');
  if (faults.length > 0) throw new ConfigError(faults);
}
