import type { Command } from 'commander';
import { findByNameOrId } from '../../cli/choose.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood tokens revoke`. */
export function addTokensRevoke(tokens: Command): void {
  tokens
    .command('revoke')
    .description('revoke an access token at once')
    .argument('<name or id>', 'the token')
    .addOption(jsonOption())
    .action(async (text: string, options: ClientOptions) => {
      const { access } = await connect(options);
      const token = findByNameOrId('access token', await access.tokens(), text, 'fumehood tokens list');
      await access.revokeToken(token.id);
      const line = `the access token ${token.name} of ${token.user} is revoked`;
      printDone(options, { revoked: token }, line);
    });
}
