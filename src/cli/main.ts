#!/usr/bin/env node
import { Command } from 'commander';
import { isToolkitError } from '../errors.ts';
import { register as registerCodegen } from './codegen.ts';

const program = new Command('rdkafka-toolkit').description('Tools for Kafka services').showHelpAfterError();
registerCodegen(program);
try {
  await program.parseAsync();
} catch (error) {
  if (!isToolkitError(error)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
