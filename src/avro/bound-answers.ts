import type { Agent } from 'node:http';
import { SchemaRegistryError } from '../errors.ts';

/** Cuts connections of the agent off when one answer, its head included, has more than `maxBytes`. Gives the agent. */
export function boundAnswers(agent: Agent, maxBytes: number): Agent {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = connect(options, callback);
    let bytes = 0;
    socket?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) socket.destroy(new SchemaRegistryError(`the answer has more than ${maxBytes} bytes`, { retriable: true }));
    });
    // It goes back to the agent between two answers.
    socket?.on('free', () => {
      bytes = 0;
    });
    return socket;
  };
  return agent;
}
