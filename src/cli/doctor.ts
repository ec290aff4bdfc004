import { type Command, Option } from 'commander';
import { isToolkitError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import { parseSeconds } from './arguments.ts';
import { type Finding, fault, look, off, ok, warning } from './doctor/finding.ts';
import { misspeltVars } from './doctor/misspelt.ts';
import { findAddon, findFeatures, findInstallScripts, findLibrdkafka, findNode, findThreads } from './doctor/native.ts';
import { exitCodes } from './exit-codes.ts';
import { printLine, styled, visible } from './terminal.ts';

interface Flags {
  readonly json?: boolean;
  readonly strict?: boolean;
  readonly timeout: number;
}

/** Adds `doctor`. Loads nothing of the native parts before it is run: they may be what is broken. */
export function register(program: Command): void {
  program
    .command('doctor')
    .description('Looks at the installation and at the services the runtime variables name, and says what is wrong and what to do.')
    .option('--json', 'as JSON')
    .option('--strict', 'warnings are faults')
    .addOption(new Option('--timeout <seconds>', 'how long a service may take to answer').argParser(parseSeconds).default(5_000, '5'))
    .addHelpText('after', '\nExit codes: 0 no fault, 1 at least one, 2 wrong arguments.')
    .action(async ({ json = false, strict = false, timeout }: Flags) => {
      const findings = await examine(timeout);
      printLine(json ? JSON.stringify({ ok: !isFaulty(findings, strict), findings }, undefined, 2) : describe(findings));
      if (isFaulty(findings, strict)) process.exitCode = exitCodes.failure;
    });
}

function isFaulty(findings: readonly Finding[], strict: boolean): boolean {
  return findings.some(({ status }) => status === 'fault' || (strict && status === 'warning'));
}

async function examine(timeoutMs: number): Promise<Finding[]> {
  const { vars, finding } = readVars();
  const scripts = findInstallScripts();
  const native = scripts.status === 'fault' ? undefined : await loadNative();
  return [findNode(), scripts, ...examineNative(native, vars), finding, ...(await examineServices(native, vars, timeoutMs))];
}

interface Native {
  readonly binding: typeof import('../binding/node-rdkafka.ts');
  readonly packed: typeof import('../binding/packed.ts');
}

/** The native parts, or the error that loading them threw. */
async function loadNative(): Promise<Native | Error> {
  try {
    return { binding: await import('../binding/node-rdkafka.ts'), packed: await import('../binding/packed.ts') };
  } catch (error) {
    return error instanceof Error ? error : new TypeError(String(error));
  }
}

function readVars(): { readonly vars: RuntimeVars | undefined; readonly finding: Finding } {
  const name = 'runtime variables';
  try {
    const vars = parseRuntimeVars();
    return { vars, finding: judgeVars(name, vars) };
  } catch (error) {
    if (!isToolkitError(error)) throw error;
    return {
      vars: undefined,
      finding: fault(name, error.message, 'rdkafka-toolkit vars --docs and binding-notes/runtime-vars.md list them.'),
    };
  }
}

function judgeVars(name: string, { APP_NAME }: RuntimeVars): Finding {
  const misspelt = misspeltVars();
  if (misspelt.length > 0) {
    const names = misspelt.map((each) => each.name).join(', ');
    return warning(name, `${names} is read by nobody here`, `Perhaps ${misspelt.map(({ meant }) => meant).join(', ')} is meant.`);
  }
  if (APP_NAME === undefined) return warning(name, 'APP_NAME is not set', 'Consumers and metrics need it: it names the group and the job.');
  return ok(name, `APP_NAME ${APP_NAME}`);
}

function examineNative(native: Native | Error | undefined, vars: RuntimeVars | undefined): Finding[] {
  if (native instanceof Error) {
    const reason = native.cause instanceof Error ? native.cause.message : native.message;
    return [
      fault(
        'librdkafka',
        `node-rdkafka does not load: ${reason}`,
        'Compile it for this Node.js and this system: npm rebuild node-rdkafka.',
      ),
    ];
  }
  if (native === undefined) return ['librdkafka', 'features', 'packed addon', 'thread pool'].map((name) => off(name, notCompiled));
  const { binding, packed } = native;
  return [
    findLibrdkafka(binding),
    findFeatures(binding, vars),
    findAddon(packed, vars),
    findThreads(packed.nativeStatus().available && vars?.RDKAFKA_TOOLKIT_NATIVE !== 'off'),
  ];
}

const notCompiled = 'not asked: node-rdkafka is not compiled';

async function examineServices(native: Native | Error | undefined, vars: RuntimeVars | undefined, timeoutMs: number): Promise<Finding[]> {
  const names = ['broker', 'schema registry', 'metrics service', 'clock'] as const;
  if (vars === undefined) return names.map((name) => off(name, 'not asked: the runtime variables have faults'));
  const { findBroker, findRegistry, findMetrics, findClock } = await import('./doctor/services.ts');
  const hasClient = native !== undefined && !(native instanceof Error);
  return Promise.all([
    look(names[0], () => (hasClient ? findBroker(vars, timeoutMs) : off(names[0], notCompiled))),
    look(names[1], () => findRegistry(vars, timeoutMs)),
    look(names[2], () => findMetrics(vars, timeoutMs)),
    look(names[3], () => findClock(vars, timeoutMs)),
  ]);
}

const marks = {
  ok: ['green', 'ok'],
  warning: ['yellow', 'warning'],
  fault: ['red', 'fault'],
  off: ['dim', 'off'],
} as const satisfies Record<Finding['status'], readonly [Parameters<typeof styled>[0], string]>;

function describe(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .flatMap(({ name, status, detail, hint }) => {
      const [style, word] = marks[status];
      const lines = detail.split('\n').map(visible);
      const head = `${styled(style, word.padEnd(7))}  ${name.padEnd(width)}  ${lines[0]}`;
      const indent = ' '.repeat(width + 11);
      return [
        head,
        ...lines.slice(1).map((line) => indent + line),
        ...(hint === undefined ? [] : [`${indent}${styled('bold', '→')} ${hint}`]),
      ];
    })
    .join('\n');
}
