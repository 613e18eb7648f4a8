import { factsOf } from '@fumehood/base';
import type { Command } from 'commander';
import { jsonOption } from '../cli/options.ts';
import { note, type PrintOptions, printDone } from '../cli/print.ts';
import { instanceAddress } from '../target/address.ts';
import { loginFile, writeLogin } from '../target/login.ts';
import { readAccessToken } from '../target/secret.ts';

/** Adds `fumehood login`. */
export function addLogin(program: Command): void {
  program
    .command('login')
    .description('use an instance elsewhere, with the access token on stdin')
    .argument('<url>', 'https://HOST[:PORT][/PATH], or unix: and the path of a socket')
    .addOption(jsonOption())
    .action(login);
}

async function login(text: string, options: PrintOptions): Promise<void> {
  const { openRemote } = await import('../target/open.ts');
  const url = instanceAddress(text);
  const token = await readAccessToken(process.stdin, note);
  try {
    await openRemote(url, token).status();
  } catch (error) {
    // The instance knows a token to which it does not show its status.
    if (factsOf(error).code !== 'scope_missing') throw error;
  }
  const file = loginFile(process.env);
  writeLogin(file, { url, token });
  printDone(
    options,
    { url, file },
    `commands use the instance at ${url} now; the access token is in ${file}`,
  );
}
