import { ConfigError } from '../errors.ts';

/** The default export of a module that a pool runs. @throws ConfigError when it does not load, or has none */
export async function loadFactory<Factory>(url: string, madeBy: string): Promise<Factory> {
  let factory: unknown;
  try {
    factory = ((await import(url)) as { readonly default?: unknown }).default;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const fault = `Expected ${url} to be a module that loads in a worker (import from 'rdkafka-toolkit/worker'): ${reason}`;
    throw new ConfigError([fault], { cause });
  }
  if (typeof factory !== 'function') throw notMade(url, madeBy);
  return factory as Factory;
}

export function notMade(url: string, madeBy: string): ConfigError {
  return new ConfigError([`Expected the default export of ${url} to be made by ${madeBy}`]);
}
