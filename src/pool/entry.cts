/**
 * What Piscina loads in each worker. It asks `require` first, which runs ES modules as well on the Node versions supported here, and on Node 20
 * ends the whole process when the worker is ended in the midst of that (`v8::Module::IsGraphAsync must be used on an instantiated
 * module`): a pool closed while it starts. `import` does not.
 */
{
  const { workerData } = require('node:worker_threads') as typeof import('node:worker_threads');
  const { module: file } = workerData as { readonly module: string };
  // Piscina waits for it before it gives the worker a task: by then it listens to what all workers are told.
  module.exports = (import(file) as Promise<{ readonly default: unknown }>).then((worker) => worker.default);
}
