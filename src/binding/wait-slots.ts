/**
 * A blocking wait for records holds one of libuv's pool threads (4 by default, `UV_THREADPOOL_SIZE`), which `fs`, `dns` and
 * `crypto` need as well. So two consumers of a process wait at once, and the others take turns in order of arrival.
 */
let free = 2;
const waiting: (() => void)[] = [];

/** Resolves when a pool thread may be held; undefined when one may be held at once. */
export function takeWaitSlot(): Promise<void> | undefined {
  if (free > 0) {
    free--;
    return undefined;
  }
  return new Promise((resolve) => waiting.push(resolve));
}

export function releaseWaitSlot(): void {
  const next = waiting.shift();
  if (next === undefined) free++;
  else next();
}
