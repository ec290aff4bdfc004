const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const hooks = new Set<() => void>();

/** Runs a synchronous function when this process ends, by signal too. The result takes it back. */
export function onExit(hook: () => void): () => void {
  if (hooks.size === 0) install();
  hooks.add(hook);
  return () => {
    hooks.delete(hook);
    if (hooks.size === 0) uninstall();
  };
}

function install(): void {
  process.on('exit', runHooks);
  for (const signal of SIGNALS) process.on(signal, endBySignal);
}

function uninstall(): void {
  process.off('exit', runHooks);
  for (const signal of SIGNALS) process.off(signal, endBySignal);
}

function runHooks(): void {
  // The last added first: processes started in a directory end before the directory is removed.
  for (const hook of [...hooks].reverse()) {
    try {
      hook();
    } catch {
      // One that fails must not keep the others from ending their processes.
    }
  }
  hooks.clear();
}

/** Without this a signal would end the process and run no exit hook. Who has a handler of their own decides for themselves. */
function endBySignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  runHooks();
  uninstall();
  process.kill(process.pid, signal);
}
