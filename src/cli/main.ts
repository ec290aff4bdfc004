#!/usr/bin/env node
import { Command } from 'commander';
import { isToolkitError } from '../errors.ts';
import * as codegen from './codegen.ts';
import * as replay from './replay.ts';

const program = new Command('rdkafka-toolkit')
  .description('Tools beside rdkafka-toolkit. Brokers and sign-in come from the runtime variables (KAFKA_BOOTSTRAP_SERVERS …).')
  .showHelpAfterError();
codegen.register(program);
replay.register(program);

try {
  await program.parseAsync();
} catch (error) {
  // What a user can do something about needs no stack.
  process.stderr.write(`${isToolkitError(error) ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
