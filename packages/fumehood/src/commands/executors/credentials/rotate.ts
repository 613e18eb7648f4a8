import type { Command } from 'commander';
import { chooseCredential } from '../../../cli/choose.ts';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { integer, jsonOption } from '../../../cli/options.ts';
import { printSecret } from '../../../cli/print.ts';

const hourMs = 3_600_000;

/** Adds `fumehood executors credentials rotate`. */
export function addCredentialsRotate(credentials: Command): void {
  credentials
    .command('rotate')
    .description('create a new secret for a credential and print it; older secrets stay valid for a while')
    .argument('<name or id>', 'the credential')
    .option('--overlap <hours>', 'how long older secrets stay valid', integer(0, 2160), 24)
    .addOption(jsonOption())
    .action(async (text: string, options: ClientOptions & { overlap: number }) => {
      const { access } = await connect(options);
      const { id } = await chooseCredential(access, text);
      printSecret(options, await access.rotateCredential(id, options.overlap * hourMs));
    });
}
