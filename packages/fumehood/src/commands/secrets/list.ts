import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { addSecretOwnerOptions, secretOwner, type SecretOwnerOptions } from '../../cli/secret-owner.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood secrets list`. */
export function addSecretsList(secrets: Command): void {
  addSecretOwnerOptions(secrets.command('list'))
    .description('list secrets, without their values')
    .addOption(jsonOption())
    .action(async (options: ClientOptions & SecretOwnerOptions) => {
      const all = await (await connect(options)).secrets.list(secretOwner(options));
      const rows = all.map(({ name, createdAt }) => [name, minuteOf(createdAt)]);
      printResult(options, { secrets: all }, table([['SECRET', 'SET'], ...rows]));
    });
}
