import { factsOf } from '@glovebox/base';
import { makeProgram } from './program.ts';

/** The `glovebox` command. */
try {
  await makeProgram().parseAsync(process.argv);
} catch (error) {
  const { code, message, remedy } = factsOf(error);
  process.stderr.write(`glovebox: ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
  if (code === 'internal' && process.env.GLOVEBOX_DEBUG) process.stderr.write(`${(error as Error).stack}\n`);
  process.exitCode = process.exitCode || (code === 'usage' || code === 'repository_unreadable' ? 2 : 1);
}
