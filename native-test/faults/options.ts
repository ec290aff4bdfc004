import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ConfigError } from 'rdkafka-toolkit';
import type { Fault, FaultScale } from './fault.ts';

export const USAGE: string = `npm run faults -- [options]     the short form, for CI
npm run soak -- [options]       the long form: the numbers to reach, hours
  --only LIST        rows of the matrix (2) or single faults (2-async); default: all
  --long             the long form
  --soak-minutes N   how long the soak of 16-soak takes (default 120)
  --repeat N         runs everything so many times (default 1)
  --seed N           gives the same random moments again (default: another each time)
  --json FILE        writes a row for each fault
  --list             only names the faults
  --help
`;

export interface FaultOptions extends FaultScale {
  readonly faults: readonly Fault[];
  readonly repeat: number;
  readonly seed: number;
  readonly json: string | undefined;
  readonly list: boolean;
}

const options = {
  only: { type: 'string' },
  long: { type: 'boolean', default: false },
  'soak-minutes': { type: 'string', default: '120' },
  repeat: { type: 'string', default: '1' },
  seed: { type: 'string' },
  json: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/**
 * Reads the command line; undefined when help is asked for.
 *
 * @throws ConfigError with every fault of it
 */
export function parseFaultOptions(args: readonly string[], all: readonly Fault[]): FaultOptions | undefined {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return undefined;
  const wrong: string[] = [];
  const number = (name: 'soak-minutes' | 'repeat' | 'seed', least: number, text: string): number => {
    const value = Number(text);
    if (!(Number.isFinite(value) && value >= least) || (name !== 'soak-minutes' && !Number.isInteger(value))) {
      wrong.push(`Expected --${name} to be a number from ${least}, got "${text}"`);
    }
    return value;
  };
  const parsed = {
    long: values.long,
    soakMinutes: number('soak-minutes', 0.1, values['soak-minutes']),
    repeat: number('repeat', 1, values.repeat),
    seed: number('seed', 0, values.seed ?? String(randomInt(2 ** 31))),
    json: values.json,
    list: values.list,
    faults: select(all, values.only, values.long, wrong),
  };
  if (wrong.length > 0) throw new ConfigError(wrong);
  return parsed;
}

function select(all: readonly Fault[], only: string | undefined, long: boolean, wrong: string[]): readonly Fault[] {
  if (only === undefined) return all.filter((fault) => long || fault.short !== false);
  const names = only.split(',').map((name) => name.trim());
  const isNamed = ({ id }: Fault, name: string): boolean => id === name || id.startsWith(`${name}-`);
  for (const name of names) {
    if (!all.some((fault) => isNamed(fault, name))) wrong.push(`Expected --only to name rows or faults (see --list), got "${name}"`);
  }
  return all.filter((fault) => names.some((name) => isNamed(fault, name)));
}
