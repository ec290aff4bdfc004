#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isToolkitError, type ToolkitError } from '../errors.ts';
import * as bench from './bench.ts';
import * as broker from './broker.ts';
import * as codegen from './codegen.ts';
import * as completions from './completions.ts';
import * as consume from './consume.ts';
import * as doctor from './doctor.ts';
import { exitCodeHelp, exitCodeOf, exitCodes } from './exit-codes.ts';
import * as produce from './produce.ts';
import * as replay from './replay.ts';
import { styled } from './terminal.ts';
import * as topics from './topics.ts';
import * as vars from './vars.ts';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };

const program = new Command('rdkafka-toolkit')
  .description('Tools beside rdkafka-toolkit. Brokers and sign-in come from the runtime variables (KAFKA_BOOTSTRAP_SERVERS …).')
  .version(version)
  .exitOverride()
  .showHelpAfterError('(add --help for what there is)')
  .addHelpText('after', exitCodeHelp);
for (const command of [doctor, vars, broker, topics, consume, produce, replay, codegen, bench, completions]) command.register(program);

// The reader of a pipe may have read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failure));

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, and gives the exit code for it. */
function report(error: unknown): number {
  // Commander has printed what it had to say; its help and version come this way, too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  // What a user can do something about needs no stack.
  const text = isToolkitError(error) ? adviceOf(error) : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${styled('red', 'error:', process.stderr)} ${text}\n`);
  return isToolkitError(error) ? exitCodeOf(error.code) : exitCodes.failure;
}

/** What to do about an error where the library's own advice is for programs. */
function adviceOf({ code, topic, message }: ToolkitError): string {
  return code === 'ERR_UNKNOWN_TOPIC' ? `Unknown topic: ${topic}. rdkafka-toolkit topics list shows those there are.` : message;
}
