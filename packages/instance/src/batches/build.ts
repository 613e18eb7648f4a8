import { FumehoodError } from '@fumehood/base';
import { sql } from 'kysely';
import type { Logger } from 'pino';
import { type BuildDeps, buildChangesetSpecs } from '../changesets/build.ts';
import type { Db } from '../db/connect.ts';
import { type BatchSpecId, wakeBatch } from './specs.ts';

/**
 * Has changeset specs made of the results of one batch spec whose workspaces have all ended; why they cannot be made is stored. Returns false if
 * there is none.
 */
export async function buildNext(deps: BuildDeps & { readonly log: Pick<Logger, 'warn'> }): Promise<boolean> {
  const { db, log } = deps;
  const spec = await findUnbuilt(db);
  if (spec === null) return false;
  try {
    await buildChangesetSpecs(deps, spec.id);
  } catch (error) {
    if (!(error instanceof FumehoodError)) throw error; // it is no fault of the batch spec, and may pass
    log.warn({ error, spec: spec.publicId }, 'changeset specs of a batch spec could not be made');
    await sql`
      update batch_specs set build_failure = ${error.message.slice(0, 2_000)} where id = ${spec.id} and built_at is null
    `.execute(db);
  }
  wakeBatch(db, spec, false);
  return true;
}

async function findUnbuilt(db: Db): Promise<BatchSpecId | null> {
  const { rows } = await sql<BatchSpecId>`
    select id, public_id as "publicId" from batch_specs
    where origin = 'server' and resolution = 'completed' and built_at is null and build_failure is null
      and not exists (
        select from batch_workspaces where spec_id = batch_specs.id and state in ('pending', 'queued', 'processing')
      )
    order by random() limit 1
  `.execute(db);
  return rows[0] ?? null;
}
