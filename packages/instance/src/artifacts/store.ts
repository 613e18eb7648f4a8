import type { Artifact } from '@fumehood/protocol';
import { artifactBytesMax } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { artifactNotFound, artifactTooBig } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { fenced } from '../queue/queue.ts';

/**
 * Stores what an attempt brought back from a path, whose archive is a blob; it takes the place of what was there before. Errors:
 * `lease_lost`, `artifact_too_big` when all artifacts of the attempt have too many bytes.
 */
export async function storeArtifact(
  db: Db,
  lease: JobLease,
  { path, digest, bytes }: Omit<Artifact, 'attempt'>,
): Promise<void> {
  await fenced(db, lease, async (tx, { id, attempt }) => {
    await sql`
      insert into job_artifacts (job_id, path, attempt, digest, bytes) values (${id}, ${path}, ${attempt}, ${digest}, ${bytes})
      on conflict (job_id, path) do update
      set attempt = excluded.attempt, digest = excluded.digest, bytes = excluded.bytes
    `.execute(tx);
    const { rows } = await sql<{ total: number }>`
      select sum(bytes)::bigint as total from job_artifacts where job_id = ${id} and attempt = ${attempt}
    `.execute(tx);
    if (Number(rows[0]?.total) > artifactBytesMax) throw artifactTooBig(artifactBytesMax);
  });
}

/** Returns what the last attempt of a job brought back, by path. */
export async function listArtifacts(db: Db, id: number): Promise<Artifact[]> {
  const { rows } = await sql<Artifact>`
    select path, artifact.attempt, bytes, digest from job_artifacts artifact
    join jobs on jobs.id = job_id and jobs.attempt = artifact.attempt
    where job_id = ${id} order by path
  `.execute(db);
  return rows;
}

/** Returns what the last attempt of a job brought back from a path. Errors: `artifact_not_found`. */
export async function findArtifact(db: Db, id: number, path: string): Promise<Artifact> {
  const found = (await listArtifacts(db, id)).find((artifact) => artifact.path === path);
  if (!found) throw artifactNotFound(id, path);
  return found;
}
