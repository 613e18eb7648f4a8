import type { RepositoryRecord, Webhook } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Logger } from 'pino';
import { newSecret } from '../auth/secret.ts';
import { hostOfUrl } from '../code-hosts/host-of-url.ts';
import { readCodeHosts, webhookSecretOf } from '../code-hosts/records.ts';
import type { Db } from '../db/connect.ts';
import type { Vault } from '../secrets/vault.ts';
import { repositoryNotFound, repositorySent, webhookNotFound } from './errors.ts';

/** A webhook as it is stored. */
type StoredWebhook = Omit<Webhook, 'url' | 'path'>;

/** What a secret is sealed for: not for a URL, so that it stays when the repository is mirrored from elsewhere. */
const sealedFor = (repository: string) => ['webhook', repository];

const lastDelivery = sql`
  (select json_build_object('receivedAt', iso(received_at), 'sender', sender, 'event', event, 'id', delivery, 'result', result)
  from webhook_deliveries delivery
  where delivery.repository_id = webhooks.repository_id and received_at >= set_at
  order by received_at desc limit 1)
`;

/** The webhook in the record of a repository. */
export const webhookState = sql<RepositoryRecord['webhook']>`
  (select json_build_object('setAt', iso(set_at), 'lastDelivery', ${lastDelivery}) from webhooks where repository_id = repositories.id)
`;

/** Returns the webhook of a repository. Errors: `webhook_not_found`, `repository_not_found`. */
export async function readWebhook(db: Db, repository: string): Promise<StoredWebhook> {
  const { rows } = await sql<StoredWebhook>`
    select name as repository, set_by as "setBy", iso(set_at) as "setAt", ${lastDelivery} as "lastDelivery"
    from webhooks join repositories on id = repository_id where name = ${repository}
  `.execute(db);
  if (!rows[0]) throw await nothingOf(db, repository, webhookNotFound(repository));
  return rows[0];
}

/**
 * Gives the webhook of a repository a secret, in place of an earlier one. `setBy`: the name of the user. Errors: `repository_not_found`,
 * `repository_sent`.
 */
export async function setWebhook(
  db: Db,
  vault: Vault,
  repository: string,
  { secret, setBy }: { readonly secret: string; readonly setBy: string },
): Promise<StoredWebhook> {
  const { rows } = await sql`
    insert into webhooks (repository_id, secret, set_by)
    select id, ${vault.seal(secret, sealedFor(repository))}, ${setBy}
    from repositories where name = ${repository} and url is not null
    on conflict (repository_id) do update set secret = excluded.secret, set_by = excluded.set_by, set_at = clock_timestamp()
    returning 1
  `.execute(db);
  if (rows.length === 0) throw await nothingOf(db, repository, repositorySent(repository));
  return await readWebhook(db, repository);
}

/** Removes the webhook of a repository. Errors: `webhook_not_found`, `repository_not_found`. */
export async function removeWebhook(db: Db, repository: string): Promise<void> {
  const { rows } = await sql`
    delete from webhooks using repositories where id = repository_id and name = ${repository} returning 1
  `.execute(db);
  if (rows.length === 0) throw await nothingOf(db, repository, webhookNotFound(repository));
}

/** Returns `repository_not_found`, or the other error if there is such a repository. */
async function nothingOf(db: Db, repository: string, other: Error): Promise<Error> {
  const { rows } = await sql`select from repositories where name = ${repository}`.execute(db);
  return rows.length === 0 ? repositoryNotFound(repository) : other;
}

/** Returns the secrets with which the deliveries of a repository may be signed. */
export type WebhookSecrets = (repository: string, log: Pick<Logger, 'error'>) => Promise<string[]>;

/**
 * Finds the secrets of webhooks: that of the repository, and that of its code host. For a repository without one, and for one that does not
 * exist, it does the same work, and returns a secret that nobody has; so it does when a secret cannot be decrypted, which it logs.
 */
export function webhookSecrets(db: Db, vault: Vault): WebhookSecrets {
  const other = newSecret();
  let sealedOther: Buffer | undefined;
  const openOther = () => {
    sealedOther ??= vault.seal(other, sealedFor(''));
    return vault.open(sealedOther, sealedFor(''), 'a secret that nobody has');
  };
  return async (repository, log) => {
    const { rows } = await sql<{ secret: Buffer | null; url: string }>`
      select secret, url from repositories left join webhooks on id = repository_id where name = ${repository} and url is not null
    `.execute(db);
    const { secret = null, url = null } = rows[0] ?? {};
    const host = hostOfUrl(await readCodeHosts(db), url ?? 'http://none')?.host;
    const openers = [
      secret === null
        ? openOther
        : () => vault.open(secret, sealedFor(repository), `the secret of the webhook of ${repository}`),
      host?.webhookSecret ? () => webhookSecretOf(vault, host) : openOther,
    ];
    return openers.map((open) => {
      try {
        return open();
      } catch (error) {
        log.error({ error, repository }, 'deliveries of a webhook are refused: its secret cannot be read');
        return other;
      }
    });
  };
}
