import { readFileSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { ServiceError } from './service-error.ts';

/** Where the system starts taking the ports of outgoing connections: Linux's default, and below those of macOS (49152). */
const DEFAULT_EPHEMERAL_START = 32_768;
const LOWEST_PORT = 15_000;
const TRIES = 200;

/**
 * Loopback ports that nothing listens on, all different. They lie below the system's range for outgoing connections: a broker
 * that was killed must get its port back, and inside that range a client that retries the dead port may connect to itself
 * (TCP simultaneous open) and hold it. Port 0 would only give ports inside it.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    for (let tries = 0; held.length < count; tries += 1) {
      if (tries >= TRIES) throw new ServiceError(`Found no ${count} free loopback ports between ${LOWEST_PORT} and ${ephemeralStart()}.`);
      const server = await tryListen(LOWEST_PORT + Math.floor(Math.random() * (ephemeralStart() - LOWEST_PORT)));
      if (server !== undefined) held.push(server);
    }
    return held.map(portOf);
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** True when something accepts connections on this loopback port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

function tryListen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port }, () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  // A TCP server that listens has an AddressInfo; only pipes have a string, only closed servers null.
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function ephemeralStart(): number {
  try {
    const start = Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10);
    return start > LOWEST_PORT + 1_000 ? start : DEFAULT_EPHEMERAL_START;
  } catch {
    return DEFAULT_EPHEMERAL_START;
  }
}
