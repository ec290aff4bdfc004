/** Ends this process when its parent is gone, however busy it is: nothing of it may outlive a fault. */
export function endWithParent(): void {
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  // The channel alone must not keep a process that has nothing left to do.
  process.channel?.unref();
}

export function tellParent(message: object): void {
  if (process.connected) process.send?.(message);
}
