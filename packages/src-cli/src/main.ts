import { factsOf, systemClock } from '@fumehood/base';
import { CommanderError } from 'commander';
import { exitCodeOf, makeCommand, withTwoDashes } from './command.ts';

/** The version of upstream's `src` whose flags and requests this command implements. */
const version = '7.6.0';

// The `src` command that executors run.
try {
  const command = makeCommand({
    environment: process.env,
    clock: systemClock,
    stdin: process.stdin,
    version,
    print: (line) => void process.stdout.write(`${line}\n`),
  });
  await command.parseAsync(withTwoDashes(process.argv.slice(2)), { from: 'user' });
} catch (error) {
  const { message, remedy } = factsOf(error);
  if (!(error instanceof CommanderError))
    process.stderr.write(`error: ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
  process.exitCode = exitCodeOf(error);
}
