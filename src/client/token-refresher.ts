import { orAborted } from '../abort.ts';
import { redactText } from '../config/redact.ts';
import { ConnectError, TimeoutError } from '../errors.ts';

/** A token for signing in by OAUTHBEARER. */
export interface OAuthBearerToken {
  /** As the brokers take it, a JWT mostly. Never shown. */
  readonly value: string;
  /** Milliseconds since the epoch. @default the `exp` claim of a JWT; of another token it must be given */
  readonly expiresAtMs?: number | undefined;
}

/**
 * Gets a token from whoever issues it. Called before connecting, and again when four fifths of the token's life are over; what it throws
 * is told and tried again. `signal` fires when its answer is of no use any more.
 */
export type TokenProvider = (options: { readonly signal: AbortSignal }) => Promise<OAuthBearerToken> | OAuthBearerToken;

interface CheckedToken {
  readonly value: string;
  readonly expiresAtMs: number;
}

/** Share of its life after which a token is replaced. */
const REFRESH_SHARE = 0.8;

/** How long one call of the provider may take. */
const PROVIDER_TIMEOUT_MS = 30_000;

const RETRY_FIRST_MS = 1_000;

/** How old a token is at least when it is replaced because the brokers refused it. */
const RENEW_AFTER_MS = 5_000;
const RETRY_MAX_MS = 30_000;

/** A timer's longest time; a token that lives longer is looked at again then. */
const TIMER_MAX_MS = 0x7fffffff;

/** Keeps a client's token fresh: one request at a time, repeated with backoff, until it is stopped. */
export class TokenRefresher {
  readonly #provider: TokenProvider;
  readonly #stopped = new AbortController();
  #use: (value: string) => void = () => undefined;
  #onError: (error: ConnectError) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #last = '';
  #takenAt = 0;
  #asking = false;

  constructor(provider: TokenProvider) {
    this.#provider = provider;
  }

  /**
   * Gets the first token and hands it to `use`, as every later one. What fails later goes to `onError`.
   *
   * @throws ConnectError (ERR_AUTHENTICATION) when there is none within `timeoutMs`
   */
  async start(options: {
    readonly use: (value: string) => void;
    readonly onError: (error: ConnectError) => void;
    readonly timeoutMs: number;
    readonly signal: AbortSignal | undefined;
  }): Promise<void> {
    this.#use = options.use;
    this.#onError = options.onError;
    try {
      this.#take(await orAborted(this.#ask(options.timeoutMs, true), options.signal));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /**
   * The brokers refused the token (it was revoked, or the clocks differ): asks for another before its time. One that was just taken has a
   * moment first: the refusal may be the old one's.
   */
  renew(): void {
    if (this.#stopped.signal.aborted || this.#asking || this.#failures > 0) return;
    this.#schedule(Math.max(0, this.#takenAt + RENEW_AFTER_MS - Date.now()));
  }

  /** Asks no more; an answer under way is dropped. */
  stop(): void {
    this.#stopped.abort();
    clearTimeout(this.#timer);
  }

  /** Holds the event loop open only while the client waits for its first token. */
  async #ask(timeoutMs: number, hold: boolean): Promise<CheckedToken> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new TimeoutError(`no token within ${Math.round(timeoutMs)} ms`)), Math.ceil(timeoutMs));
    if (!hold) timer.unref();
    const signal = AbortSignal.any([late.signal, this.#stopped.signal]);
    try {
      return checked(await orAborted(Promise.resolve(this.#provider({ signal })), signal));
    } catch (error) {
      throw this.#failure('the tokenProvider gave no token', late.signal.aborted ? late.signal.reason : error);
    } finally {
      clearTimeout(timer);
    }
  }

  #failure(what: string, error: unknown): ConnectError {
    const text = error instanceof Error ? error.message : String(error);
    const reason = redactText(text, [this.#last]);
    return new ConnectError(`Cannot sign in to Kafka: ${what}: ${reason}`, {
      code: 'ERR_AUTHENTICATION',
      retriable: true,
      // One that quotes the token must not be printed along.
      cause: reason === text ? error : undefined,
    });
  }

  #take({ value, expiresAtMs }: CheckedToken): void {
    this.#last = value;
    try {
      this.#use(value);
    } catch (error) {
      throw this.#failure('librdkafka did not take the token', error);
    }
    this.#failures = 0;
    this.#takenAt = Date.now();
    this.#schedule(Math.max(0, (expiresAtMs - Date.now()) * REFRESH_SHARE));
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#refresh(), Math.min(delayMs, TIMER_MAX_MS)).unref();
  }

  async #refresh(): Promise<void> {
    this.#asking = true;
    try {
      const token = await this.#ask(PROVIDER_TIMEOUT_MS, false);
      if (!this.#stopped.signal.aborted) this.#take(token);
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      // Half of it by chance, so that a fleet does not ask as one.
      const backoffMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures++);
      this.#schedule(backoffMs * (0.5 + Math.random() / 2));
      this.#onError(error as ConnectError);
    } finally {
      this.#asking = false;
    }
  }
}

/** What is connected with tokens: a handle of either client. */
interface Connectable {
  setToken(token: string): void;
  connect(bootstrapServers: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<unknown>;
}

/**
 * Connects a client within the deadline, its first token included where it signs in by tokens. Who connects stops `tokens` when the
 * client ends, also when this rejects.
 */
export async function connectWithTokens(
  client: Connectable,
  tokens: TokenRefresher | undefined,
  options: {
    readonly bootstrapServers: string;
    readonly timeoutMs: number;
    readonly signal: AbortSignal | undefined;
    readonly onError: (error: ConnectError) => void;
  },
): Promise<void> {
  const { bootstrapServers, timeoutMs, signal, onError } = options;
  if (tokens === undefined) {
    await client.connect(bootstrapServers, timeoutMs, signal);
    return;
  }
  const deadline = Date.now() + timeoutMs;
  await tokens.start({ use: (token) => client.setToken(token), onError, timeoutMs, signal });
  await client.connect(bootstrapServers, Math.max(1, deadline - Date.now()), signal);
}

/** @throws TypeError | RangeError for what is no token, or one that is over */
function checked(token: OAuthBearerToken): CheckedToken {
  const value: unknown = token?.value;
  if (typeof value !== 'string' || value === '') throw new TypeError("Expected the tokenProvider to give { value: 'the token' }");
  // librdkafka quotes a token that holds anything else in its error.
  if (!/^[\x21-\x7e]+$/.test(value)) throw new TypeError('Expected the token to be of visible ASCII characters');
  const expiresAtMs = token.expiresAtMs ?? expiryOf(value);
  if (expiresAtMs === undefined || !Number.isFinite(expiresAtMs)) {
    throw new TypeError(
      'Expected the tokenProvider to give expiresAtMs (milliseconds since the epoch) for a token that is no JWT with exp',
    );
  }
  if (expiresAtMs <= Date.now()) throw new RangeError(`the token expired at ${new Date(expiresAtMs).toISOString()} already`);
  return { value, expiresAtMs };
}

/** The `exp` claim of a JWT, in milliseconds; its signature is the broker's to check. */
function expiryOf(token: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { exp?: unknown };
    return typeof claims.exp === 'number' ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
