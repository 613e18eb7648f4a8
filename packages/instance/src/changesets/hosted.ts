import { sql } from 'kysely';
import { hostOfUrl } from '../code-hosts/host-of-url.ts';
import { readCodeHosts } from '../code-hosts/records.ts';
import type { Db } from '../db/connect.ts';

/** Returns which of these repositories are on a code host. Changesets of the others are branches alone. */
export async function hostedAmong(db: Db, repositories: readonly string[]): Promise<ReadonlySet<string>> {
  const hosts = await readCodeHosts(db);
  const { rows } = await sql<{ name: string; url: string }>`
    select name, url from repositories where name = any(${repositories}::text[]) and url is not null
  `.execute(db);
  return new Set(rows.filter(({ url }) => hostOfUrl(hosts, url) !== null).map(({ name }) => name));
}
