import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { ShutdownError } from '../errors.ts';
import { StopRequest } from '../patterns/shutdown.ts';

/** How often connections without a request are closed while an app ends. */
const IDLE_CHECK_MS = 50;

/** Options of {@link closeAtSignal}. */
export interface CloseAtSignalOptions {
  /**
   * From the signal until the server stops listening, in milliseconds: `/ready` says no meanwhile, so that balancers send new requests
   * elsewhere. @default 0
   */
  readonly drainMs?: number | undefined;
  /** For all that comes after `drainMs`, in milliseconds; then it rejects with a `ShutdownError`. @default 30000 */
  readonly timeoutMs?: number | undefined;
  /** Closes as a signal does. */
  readonly signal?: AbortSignal | undefined;
  /** SIGTERM and SIGINT; further ones change nothing. @default true */
  readonly handleSignals?: boolean | undefined;
}

/** @internal What is closed, in its order. */
export interface Closing {
  begin(): void;
  close(): Promise<void>;
}

/** @internal Resolves when all is closed after the request to stop. */
export async function closeAtStop({ begin, close }: Closing, options: CloseAtSignalOptions): Promise<void> {
  const { drainMs = 0, timeoutMs = 30_000 } = options;
  const stop = new StopRequest({ ...options, timeoutMs: timeoutMs + drainMs });
  try {
    await new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      else stop.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    begin();
    if (drainMs > 0) await new Promise((resolve) => setTimeout(resolve, drainMs));
    const closing = close();
    // One that is given up settles late or never.
    closing.catch(() => undefined);
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => {
        const message = `The web app was stopped by ${stop.by} and did not end within ${timeoutMs} ms`;
        reject(new ShutdownError(message, { records: 0, outputs: 0 }));
      }, stop.remainingMs).unref();
    });
    await Promise.race([closing, late]);
  } finally {
    stop.release();
  }
}

/**
 * @internal The connections of a server that is to end: kept ones that have got their last answer, and those on which no request has come yet,
 * which browsers open ahead and Node does not count among the idle ones. Either would hold it open.
 */
export class IdleConnections {
  readonly #server: ClosableServer;
  readonly #open = new Set<Socket>();
  #closing: NodeJS.Timeout | undefined;

  constructor(server: ClosableServer) {
    this.#server = server;
    const add = (socket: Socket): void => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    };
    server.on('connection', add);
    // Over TLS it is another socket that counts the request's bytes.
    server.on('secureConnection', add);
  }

  /** Closes them from now on, until {@link stop}. */
  close(): void {
    this.#closing ??= setInterval(() => {
      this.#server.closeIdleConnections();
      for (const socket of this.#open) if (socket.bytesRead === 0) socket.destroy();
    }, IDLE_CHECK_MS);
  }

  stop(): void {
    clearInterval(this.#closing);
  }
}

/** What is needed of a server of node:http or node:https. */
export type ClosableServer = Pick<Server, 'closeIdleConnections'> & {
  on(event: 'connection' | 'secureConnection', listener: (socket: Socket) => void): unknown;
};
