import { once } from 'node:events';
import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Styled for a terminal; plain into files and pipes, and where `NO_COLOR` asks for it. */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  // hasColors reads NO_COLOR, NODE_DISABLE_COLORS and FORCE_COLOR, and is there on a terminal only.
  return stream.isTTY === true && stream.hasColors() ? styleText(style, text) : text;
}

/** Text of a record or an error without what would steer the terminal that shows it. */
export function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ');
}

/** One line on standard output. */
export function printLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** As {@link printLine}, for many lines: resolves when the reader has kept up. */
export async function printLineSlowly(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

/** One line for the person at the terminal, apart from the output. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}
