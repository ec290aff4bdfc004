/**
 * Reads what LeakSanitizer wrote at the end of each test process (`node leak-report.js FILE …`) and fails when the addon leaks.
 *
 * A process that exits leaves its last objects to the system: V8 does not collect them, so a few clients, and what they own, are always
 * reported. A leak of the addon shows in numbers: the suites move 10^5 records and open hundreds of clients in a process.
 */
import { readFileSync } from 'node:fs';

/** Objects of one place in the addon that a process may leave behind. */
const LEFT_AT_EXIT_MAX = 200;

/** Objects that the addon itself allocated and nobody freed: where, and how many. */
export function leaksOfAddon(report: string): Map<string, number> {
  const leaks = new Map<string, number>();
  for (const block of report.split('\n\n')) {
    const [, objects] = /leak of \d+ byte\(s\) in (\d+) object/.exec(block) ?? [];
    if (objects === undefined) continue;
    const frames = [...block.matchAll(/^ *#\d+ \S+ in (.+)$/gm)].map(([, frame]) => frame!);
    // The allocator comes first, then templates of the standard library; then who asked.
    const asker = frames.find(
      (frame) => !/^(?:operator new|malloc|calloc|realloc|__interceptor_|std::|void\* std::|__gnu_cxx::)/.test(frame),
    );
    if (asker?.startsWith('toolkit::')) leaks.set(asker, (leaks.get(asker) ?? 0) + Number(objects));
  }
  return leaks;
}

if (process.argv[1] === import.meta.filename) {
  let worst = 0;
  for (const file of process.argv.slice(2)) {
    for (const [place, objects] of leaksOfAddon(readFileSync(file, 'utf8'))) {
      worst = Math.max(worst, objects);
      if (objects > LEFT_AT_EXIT_MAX) process.stderr.write(`${objects} objects leaked by ${place}\n`);
    }
  }
  process.stdout.write(`The addon left at most ${worst} objects of one place behind in a process (allowed: ${LEFT_AT_EXIT_MAX})\n`);
  if (worst > LEFT_AT_EXIT_MAX) process.exitCode = 1;
}
