import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** One request a pod was sent. */
export interface PodCall {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly contentType: string | undefined;
  /** When it came, by `performance.now()` plus the process's `timeOrigin`: comparable between threads. */
  readonly at: number;
}

/** What a pod does with a request: answer with that status, or let it hang. */
export type PodBehaviour = number | 'hang';

/** A pod of a metrics cache that keeps what it is sent. */
export class FakePod implements AsyncDisposable {
  readonly calls: PodCall[] = [];
  behaviour: PodBehaviour;
  /** Requests under way at once, at most so far. */
  concurrent = 0;
  #open = 0;
  readonly #server: Server;

  private constructor(behaviour: PodBehaviour) {
    this.behaviour = behaviour;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(address: string, port: number, behaviour: PodBehaviour = 200): Promise<FakePod> {
    const pod = new FakePod(behaviour);
    await new Promise<void>((resolve, reject) => {
      pod.#server.once('error', reject);
      pod.#server.listen(port, address, resolve);
    });
    return pod;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The bodies of what was pushed. */
  get pushes(): readonly string[] {
    return this.calls.filter(({ method }) => method === 'PUT').map(({ body }) => body);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.concurrent = Math.max(this.concurrent, ++this.#open);
    response.once('close', () => this.#open--);
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { method = '', url: path = '', headers } = request;
    this.calls.push({ method, path, body, contentType: headers['content-type'], at: performance.timeOrigin + performance.now() });
    if (this.behaviour !== 'hang') response.writeHead(this.behaviour, { location: '/elsewhere' }).end('told\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
