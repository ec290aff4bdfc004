import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a command ended. */
export interface CliRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** What a command runs with. */
export interface CliOptions {
  /** Variables beside the process's own, without those that would take it to other services. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** Another installation's command. */
  readonly cli?: string;
  readonly cwd?: string;
}

const ownCli = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** Starts the compiled command line tool. */
export function startCli(args: readonly string[], { env = {}, cli = ownCli, cwd }: CliOptions = {}): ChildProcess {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(KAFKA_|SCHEMA_REGISTRY_|RDKAFKA_|APP_NAME$|HOSTNAME$|UV_THREADPOOL_SIZE$|NODE_TEST_CONTEXT$|FORCE_COLOR$)/.test(name),
  );
  return spawn(process.execPath, [cli, ...args], { env: { ...Object.fromEntries(inherited), ...env }, cwd });
}

/** Runs a command to its end; one that does not end is killed after a minute and has no exit code. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const child = startCli(args, options);
  let out = '';
  let err = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  child.stdin!.end(options.input ?? '');
  const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(deadline);
      resolve({ code, out, err });
    });
  });
}
