import { type Services, startServices } from './services.ts';

/** What a `main` gives back: its last line, and whether all went as it should. */
export interface Outcome {
  readonly line: string;
  readonly ok: boolean;
}

/**
 * Runs an example and ends it: services before, one line after, exit code 1 when something is wrong. SIGINT and SIGTERM fire
 * `signal`, so that what was started is closed; a second one kills. `DEBUG` shows the stack of an error.
 */
export async function runMain(name: string, main: (services: Services, signal: AbortSignal) => Promise<Outcome>): Promise<void> {
  const stop = new AbortController();
  const onSignal = (signal: string): void => stop.abort(new Error(`stopped by ${signal}`));
  for (const each of ['SIGINT', 'SIGTERM'] as const) process.once(each, onSignal);
  try {
    const services = await startServices();
    let outcome: Outcome;
    try {
      console.log(services.description);
      outcome = await main(services, stop.signal);
    } finally {
      // Beside an error of the example, one of the clean-up is only told.
      await services.close().catch((error: unknown) => report(name, error));
    }
    console.log(`${name}: ${outcome.line}`);
    if (!outcome.ok) process.exitCode = 1;
  } catch (error) {
    report(name, error);
  } finally {
    for (const each of ['SIGINT', 'SIGTERM'] as const) process.removeListener(each, onSignal);
  }
}

function report(name: string, error: unknown): void {
  process.exitCode = 1;
  const message = error instanceof Error ? error.message : String(error);
  console.error(`${name}: failed: ${message.replaceAll(/\s*\n\s*/g, ' ')}`);
  if (process.env.DEBUG) console.error(error);
}
