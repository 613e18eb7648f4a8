import { organisationPrefix } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { namespaceNotFound } from './errors.ts';
import { listOrganisations } from './organisations.ts';

/** Returns the namespaces whose batch changes a person may see: their own name, and `org/NAME` of their organisations. Null: an admin sees all. */
export async function visibleNamespaces(db: Db, person: Person): Promise<readonly string[] | null> {
  if (person.admin) return null;
  const organisations = await listOrganisations(db, person);
  return [person.name, ...organisations.map(({ name }) => `${organisationPrefix}${name}`)];
}

/** Checks that a person may use a namespace, and that it exists. Errors: `namespace_not_found`. */
export async function requireNamespace(db: Db, person: Person, namespace: string): Promise<void> {
  const visible = await visibleNamespaces(db, person);
  if (visible?.includes(namespace)) return;
  if (visible === null) {
    const { rows } = await sql`
      select from users where name = ${namespace}
      union all select from organisations where ${organisationPrefix} || name = ${namespace}
    `.execute(db);
    if (rows.length > 0) return;
  }
  throw namespaceNotFound(namespace);
}
