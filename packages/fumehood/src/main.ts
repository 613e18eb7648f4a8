import { factsOf } from '@fumehood/base';
import { handleLostOutput, note, noteError } from './cli/print.ts';
import { CommanderError } from 'commander';
import * as z from 'zod';

/** Errors of what the user typed, or of what it names. Nothing was started. */
const mistakes = [
  ...['usage', 'policy_invalid', 'repository_unreadable', 'image_invalid', 'image_not_found'],
  ...[
    'state_closed',
    'state_unsafe',
    'state_unreachable',
    'state_unusable',
    'state_foreign',
    'account_missing',
  ],
  ...['login_exposed', 'login_invalid', 'release_unknown', 'vmm_refused'],
  ...['backup_unwritable', 'backup_unreadable', 'backup_invalid', 'backup_newer'],
];
const mistakeCode = 2;

// Processes of other users read what this command makes, which a umask such as 077 would close. Secrets have modes of their own.
process.umask(0o022);
handleLostOutput();
// A command parses few values, each once: to compile the schemas first, as Zod does by itself, takes it 10 ms longer. It has to be said
// before a schema is made.
z.config({ jitless: true });

/** Runs the `fumehood` command. */
try {
  const { makeProgram } = await import('./program.ts');
  await makeProgram().parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : mistakeCode;
  else {
    const { code, message, remedy } = factsOf(error);
    if (code !== 'output_lost') noteError({ message, remedy });
    if (code === 'internal' && process.env.FUMEHOOD_DEBUG)
      note(...((error as Error).stack ?? '').split('\n'));
    process.exitCode = process.exitCode || (mistakes.includes(code) ? mistakeCode : 1);
  }
}
