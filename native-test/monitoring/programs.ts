import { execFileSync } from 'node:child_process';
import { ServiceError } from '../services/service-error.ts';

/** Prometheus and its Pushgateway as Debian, or Prometheus itself, call them. */
const PROGRAMS = {
  prometheus: ['prometheus'],
  promtool: ['promtool'],
  pushgateway: ['prometheus-pushgateway', 'pushgateway'],
} as const;

/** The command of a program. @throws {ServiceError} that says what to install */
export function programNamed(program: keyof typeof PROGRAMS): string {
  const found = PROGRAMS[program].find(isThere);
  if (found !== undefined) return found;
  throw new ServiceError(`${program} is not on the PATH: apt-get install --no-install-recommends prometheus prometheus-pushgateway`);
}

function isThere(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
