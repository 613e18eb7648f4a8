import { organisationPrefix, type OrganisationRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { nameTaken, userNotFound } from '../errors.ts';
import { memberNotFound, organisationInUse, organisationNotFound } from './errors.ts';

const record = sql`organisations.name, iso(created_at) as "createdAt", array(
    select users.name from organisation_members join users on users.id = user_id
    where organisation_id = organisations.id order by users.name
  ) as members`;

/** Whether a person is a member of the organisation of the row, or an admin. */
const isOf = ({ admin, userId }: Person) => sql<boolean>`(${admin} or exists (
    select from organisation_members where organisation_id = organisations.id and user_id = ${userId}))`;

/** Returns the organisations that a person is a member of, by name; for an admin, all. */
export async function listOrganisations(db: Db, person: Person): Promise<OrganisationRecord[]> {
  const { rows } = await sql<OrganisationRecord>`
    select ${record} from organisations where ${isOf(person)} order by organisations.name
  `.execute(db);
  return rows;
}

/** Returns an organisation that a person is a member of; an admin reaches all. Errors: `organisation_not_found`. */
export async function requireOrganisation(db: Db, person: Person, name: string): Promise<OrganisationRecord> {
  const { rows } = await sql<OrganisationRecord>`
    select ${record} from organisations where organisations.name = ${name} and ${isOf(person)}
  `.execute(db);
  if (!rows[0]) throw organisationNotFound(name);
  return rows[0];
}

/** Makes an organisation without members. Errors: `name_taken`. */
export async function createOrganisation(db: Db, name: string): Promise<OrganisationRecord> {
  const { rows } = await sql<OrganisationRecord>`
    insert into organisations (name) values (${name}) on conflict (name) do nothing
    returning name, iso(created_at) as "createdAt", array[]::text[] as members
  `.execute(db);
  if (!rows[0]) throw nameTaken('an organisation', name);
  return rows[0];
}

/** Removes an organisation and its secrets. Errors: `organisation_not_found`, `organisation_in_use`. */
export async function removeOrganisation(db: Db, name: string): Promise<void> {
  const namespace = `${organisationPrefix}${name}`;
  await transaction(db, async (tx) => {
    const { rows } = await sql`delete from organisations where name = ${name} returning 1`.execute(tx);
    if (rows.length === 0) throw organisationNotFound(name);
    const used = await sql`
      select from batch_changes where namespace = ${namespace}
      union all select from batch_specs where namespace = ${namespace} limit 1
    `.execute(tx);
    if (used.rows.length > 0) throw organisationInUse(name);
    await sql`delete from secrets where tenant = ${namespace}`.execute(tx);
  });
}

/** Makes a user a member of an organisation, if it is none yet. Errors: `organisation_not_found`, `user_not_found`. */
export async function addMember(
  db: Db,
  admin: Person,
  name: string,
  user: string,
): Promise<OrganisationRecord> {
  await requireOrganisation(db, admin, name);
  const { rows } = await sql`
    insert into organisation_members (organisation_id, user_id)
    select organisations.id, users.id from organisations, users
    where organisations.name = ${name} and users.name = ${user}
    on conflict (organisation_id, user_id) do update set added_at = organisation_members.added_at
    returning 1
  `.execute(db);
  if (rows.length === 0) throw userNotFound(user);
  return await requireOrganisation(db, admin, name);
}

/** Removes a member: it sees nothing of the organisation from now on. Errors: `organisation_not_found`, `member_not_found`. */
export async function removeMember(
  db: Db,
  admin: Person,
  name: string,
  user: string,
): Promise<OrganisationRecord> {
  await requireOrganisation(db, admin, name);
  const { rows } = await sql`
    delete from organisation_members using organisations, users
    where organisation_id = organisations.id and user_id = users.id
      and organisations.name = ${name} and users.name = ${user}
    returning 1
  `.execute(db);
  if (rows.length === 0) throw memberNotFound(name, user);
  return await requireOrganisation(db, admin, name);
}
