import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a child process ended. */
export interface ExampleRun {
  /** Undefined when it was killed at the deadline. */
  readonly exitCode: number | undefined;
  readonly lines: readonly string[];
  readonly errorLines: readonly string[];
  readonly seconds: number;
}

/** The environment without what would take the examples to real services. */
export function embeddedEnv(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { KAFKA_BOOTSTRAP_SERVERS: _kafka, SCHEMA_REGISTRY_URL: _registry, DEBUG: _debug, ...rest } = process.env;
  return { ...rest, ...extra };
}

/** Runs a compiled example and waits for its end by itself. */
export function runExample(name: string, env: NodeJS.ProcessEnv, deadlineMs = 60_000): Promise<ExampleRun> {
  const script = fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url));
  const startMs = performance.now();
  // A test runner's own context would change how the child reports.
  const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, ...childEnv } = env;
  const child = spawn(process.execPath, [script], { env: childEnv, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(deadline);
      const seconds = (performance.now() - startMs) / 1000;
      resolve({ exitCode: code ?? undefined, lines: linesOf(out), errorLines: linesOf(err), seconds });
    });
  });
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}
