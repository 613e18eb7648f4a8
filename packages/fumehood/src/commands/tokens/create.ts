import { type Scope, scopeMeaning } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, daysOption, expiryAfter, jsonOption, scopes } from '../../cli/options.ts';
import { printSecret } from '../../cli/print.ts';

interface CreateTokenOptions extends ClientOptions {
  readonly scope: Scope[];
  readonly user?: string;
  readonly days?: number;
}

/** Adds `fumehood tokens create`. */
export function addTokensCreate(tokens: Command): void {
  const scopeLines = Object.entries(scopeMeaning).map(
    ([scope, meaning]) => `  ${scope.padEnd(11)} ${meaning}`,
  );
  tokens
    .command('create')
    .description('create an access token, and print its secret')
    .argument('<name>', 'name of the token', accessName)
    .requiredOption('--scope <scope>', 'what the token allows (repeatable)', scopes)
    .option('--user <name>', 'the user that the token belongs to; default: you', accessName)
    .addOption(daysOption())
    .addOption(jsonOption())
    .addHelpText('after', ['', 'Scopes:', ...scopeLines].join('\n'))
    .action(async (name: string, options: CreateTokenOptions) => {
      const { access } = await connect(options);
      const { scope, user, days } = options;
      const token = await access.createToken({
        name,
        scopes: scope,
        expiresAt: expiryAfter(days),
        ...(user !== undefined && { user }),
      });
      printSecret(options, token);
    });
}
