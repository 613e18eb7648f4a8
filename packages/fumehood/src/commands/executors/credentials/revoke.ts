import type { Command } from 'commander';
import { chooseCredential } from '../../../cli/choose.ts';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood executors credentials revoke`. */
export function addCredentialsRevoke(credentials: Command): void {
  credentials
    .command('revoke')
    .description('revoke a credential at once; the jobs of its executors end')
    .argument('<name or id>', 'the credential')
    .option('--replaced', 'revoke only the secrets that a rotation replaced')
    .addOption(jsonOption())
    .action(async (text: string, options: ClientOptions & { replaced?: boolean }) => {
      const { access } = await connect(options);
      const credential = await chooseCredential(access, text);
      if (options.replaced) {
        await access.endRotation(credential.id);
        const line = `the replaced secrets of the credential ${credential.name} are revoked`;
        printDone(options, { revoked: credential }, line);
      } else {
        await access.revokeCredential(credential.id);
        printDone(options, { revoked: credential }, `the credential ${credential.name} is revoked`);
      }
    });
}
