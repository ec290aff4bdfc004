import { parentPort, Worker } from 'node:worker_threads';
import { FakePod, type PodCall } from './fake-pod.ts';

/** A {@link FakePod} in a thread of its own: it answers while the thread of the test is blocked. */
export class FakePodThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly port: number;

  private constructor(worker: Worker, port: number) {
    this.#worker = worker;
    this.port = port;
  }

  static async start(): Promise<FakePodThread> {
    const worker = new Worker(new URL(import.meta.url), { execArgv: [] });
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    return new FakePodThread(worker, port);
  }

  /** What it was sent so far. */
  calls(): Promise<readonly PodCall[]> {
    return new Promise((resolve) => {
      this.#worker.once('message', resolve);
      this.#worker.postMessage('calls');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

if (parentPort !== null) {
  const port = parentPort;
  const pod = await FakePod.start('127.0.0.1', 0);
  port.on('message', () => port.postMessage(pod.calls));
  port.postMessage(pod.port);
}
