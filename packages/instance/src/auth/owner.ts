import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { jobNotFound, tenantForeign } from '../errors.ts';
import type { Person } from './people.ts';

/** Checks that a job is of this person's tenant; an admin may act on every job. Errors: `job_not_found`. */
export async function requireOwnJob(db: Db, { admin, name }: Person, id: number): Promise<void> {
  if (admin) return;
  const { rows } = await sql`select from jobs where id = ${id} and tenant = ${name}`.execute(db);
  if (rows.length === 0) throw jobNotFound(id);
}

/**
 * Returns the tenant whose jobs a person may list: their own, or the one that an admin asks for, or undefined for an admin who asks
 * for all. Errors: `tenant_foreign`.
 */
export function listableTenant({ admin, name }: Person, asked: string | undefined): string | undefined {
  if (admin) return asked;
  if (asked !== undefined && asked !== name) throw tenantForeign(asked);
  return name;
}
