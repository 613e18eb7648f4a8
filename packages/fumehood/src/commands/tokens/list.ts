import type { TokenRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood tokens list`. */
export function addTokensList(tokens: Command): void {
  tokens
    .command('list')
    .description('list your access tokens; an admin sees those of all users')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).access.tokens();
      printResult(options, { tokens: all }, tokenLines(all));
    });
}

function tokenLines(tokens: readonly TokenRecord[]): string[] {
  return table([
    ['ID', 'NAME', 'USER', 'SCOPES', 'USED', 'EXPIRES'],
    ...tokens.map(({ id, name, user, scopes, lastUsedAt, expiresAt }) => [
      ...[String(id), name, user, scopes.join(','), minuteOf(lastUsedAt), minuteOf(expiresAt)],
    ]),
  ]);
}
