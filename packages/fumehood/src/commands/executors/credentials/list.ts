import type { CredentialRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';

/** Adds `fumehood executors credentials list`. */
export function addCredentialsList(credentials: Command): void {
  credentials
    .command('list')
    .description('list the credentials and their valid secrets, with the time of each one’s last use')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).access.credentials();
      printResult(options, { credentials: all }, credentialLines(all));
    });
}

/** Lays out a row for each valid secret of a credential: the newest first, then those that a rotation replaced. */
function credentialLines(credentials: readonly CredentialRecord[]): string[] {
  return table([
    ['ID', 'NAME', 'QUEUES', 'SECRET OF', 'USED', 'ENDS'],
    ...credentials.flatMap(({ id, name, queues, expiresAt, secrets }) =>
      secrets.map(({ createdAt, endsAt, lastUsedAt }) => [
        ...[String(id), name, queues.join(',') || 'none'],
        ...[minuteOf(createdAt), minuteOf(lastUsedAt), minuteOf(endsAt ?? expiresAt)],
      ]),
    ),
  ]);
}
