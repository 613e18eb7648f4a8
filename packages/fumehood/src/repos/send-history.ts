import { FumehoodError } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { RepositoryRecord } from '@fumehood/protocol';
import { historyForeign } from '../errors.ts';
import type { LocalHistory } from './local-history.ts';

/**
 * Sends the history of a repository of this machine to the instance, as much as that lacks. Returns the repository's record. Errors:
 * `history_foreign` if it lacks the commit that the instance has, and `which` is `new`; those of `RepositoriesClient.send`.
 */
export async function sendHistory(
  client: Client,
  name: string,
  local: LocalHistory,
  which: 'new' | 'whole',
): Promise<RepositoryRecord> {
  const { branch, commit } = local;
  const { commit: base } = await client.repositories.show(name);
  if (base !== null) {
    if (await local.has(base)) {
      try {
        return await client.repositories.send(name, { branch, commit, base }, local.pack(base));
      } catch (error) {
        if (!(error instanceof FumehoodError) || error.code !== 'history_needed') throw error;
      }
    } else if (which === 'new') throw historyForeign(local.path, name, base);
  }
  return await client.repositories.send(name, { branch, commit }, local.pack(null));
}
