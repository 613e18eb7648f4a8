import type { Clock } from '@fumehood/base';
import type { CodeHostKind } from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { readRepository } from '../repos/records.ts';
import type { Vault } from '../secrets/vault.ts';
import type { CodeHost } from './code-host.ts';
import { hostRepositoryInvalid } from './errors.ts';
import { gitea } from './gitea/client.ts';
import { github } from './github/client.ts';
import { gitlab } from './gitlab/client.ts';
import { hostOfUrl } from './host-of-url.ts';
import { pauseCodeHost, readCodeHosts, tokenOf } from './records.ts';
import type { HostClient } from './repository.ts';

const clients: Readonly<Record<CodeHostKind, HostClient>> = { github, gitlab, gitea };

/** What `codeHostOf` needs. */
export interface CodeHostDeps {
  readonly db: Db;
  readonly vault: Vault;
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * Returns the code host of a repository; null: it is on a plain git remote, or clients send it, and its changesets are branches alone.
 * Errors: `repository_not_found`, `host_repository_invalid`, `secret_of_other_key`, `secret_damaged`.
 */
export async function codeHostOf(
  { db, vault, clock }: CodeHostDeps,
  repository: string,
): Promise<CodeHost | null> {
  const { url } = await readRepository(db, repository);
  const hosted = url === null ? null : hostOfUrl(await readCodeHosts(db), url);
  if (hosted === null) return null;
  const { host, path } = hosted;
  const client = clients[host.kind];
  if (!client.isRepository(path)) throw hostRepositoryInvalid(host.name, repository);
  return client.open({
    ...{ name: host.name, url: host.url, token: tokenOf(vault, host), path, clock },
    forks: host.forks,
    limitedUntil: host.limitedUntil,
    onLimited: (until) => pauseCodeHost(db, host.name, until),
  });
}
