import type { Command } from 'commander';
import {
  describeRuntimeVars,
  type Environment,
  parseRuntimeVars,
  processEnvironment,
  type RuntimeVarDescription,
  type RuntimeVars,
} from '../runtime-vars.ts';
import { printLine, styled, visible } from './terminal.ts';

interface Flags {
  readonly json?: boolean;
  readonly set?: boolean;
  readonly docs?: boolean;
}

/** Adds `vars`: the runtime variables as a service started here would have them. */
export function register(program: Command): void {
  program
    .command('vars')
    .description('Lists the runtime variables: value in use, where it comes from, what it does. Secrets are redacted.')
    .option('--set', 'only those that the environment sets')
    .option('--docs', 'with their effect')
    .option('--json', 'as JSON')
    .action(({ json = false, set = false, docs = false }: Flags) => {
      const { vars, environment, faults } = readVars();
      const all = describeRuntimeVars(vars, environment);
      const chosen = all.filter(({ source }) => !set || source === 'environment');
      printLine(json ? JSON.stringify(chosen, undefined, 2) : table(chosen, docs));
      if (faults !== undefined) throw faults;
    });
}

interface Read {
  readonly vars: RuntimeVars;
  /** What of the environment they were read from. */
  readonly environment: Environment;
  readonly faults: unknown;
}

/** The variables as they would be without those that are at fault, which are told beside them. */
function readVars(): Read {
  try {
    return { vars: parseRuntimeVars(), environment: processEnvironment, faults: undefined };
  } catch (faults) {
    const good = Object.fromEntries(Object.entries(processEnvironment).filter(([name, value]) => isValid({ [name]: value })));
    // Some do not fit together.
    const environment = isValid(good) ? good : {};
    return { vars: parseRuntimeVars(environment), environment, faults };
  }
}

function isValid(environment: Environment): boolean {
  try {
    parseRuntimeVars(environment);
    return true;
  } catch {
    return false;
  }
}

function table(vars: readonly RuntimeVarDescription[], docs: boolean): string {
  const width = Math.max(0, ...vars.map(({ name }) => name.length));
  const lines: string[] = [];
  let group: string | undefined;
  for (const each of vars) {
    if (each.group !== group) lines.push(...(group === undefined ? [] : ['']), styled('bold', each.group));
    group = each.group;
    lines.push(line(each, width));
    if (docs) lines.push(styled('dim', `    ${each.doc}`));
  }
  return lines.length === 0 ? 'The environment sets no runtime variable.' : lines.join('\n');
}

function line({ name, value, unit, source, librdkafka }: RuntimeVarDescription, width: number): string {
  const shown = value === undefined || value === '' ? styled('dim', 'not set') : visible(value);
  const measure = unit === undefined || value === undefined ? '' : ` ${unit}`;
  const origin = source === 'environment' ? styled('green', 'environment') : styled('dim', 'default');
  const keys = librdkafka.length === 0 ? '' : styled('dim', ` → ${librdkafka.join(', ')}`);
  return `  ${name.padEnd(width)}  ${shown}${measure}  (${origin})${keys}`;
}
