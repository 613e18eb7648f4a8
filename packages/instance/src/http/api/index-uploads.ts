import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import { requireOwnJob } from '../../auth/owner.ts';
import { jobOfOtherCommit } from '../../codeintel/errors.ts';
import type { Db } from '../../db/connect.ts';
import { packagePrefix } from '../../dependencies/packages.ts';
import { repositoryNotFound } from '../../repos/errors.ts';
import { isMirrored } from '../../repos/records.ts';
import type { RouteDeps } from '../deps.ts';
import { addIndexUpload, type NamedIndex } from '../index-upload.ts';
import { personOf, requirePerson } from '../person.ts';

/**
 * `POST /.api/{scip,lsif}/upload`: an index that a person or a build sends with an access token, as `src code-intel upload` does. The repository is one
 * that the instance mirrors, or the commit one that a client has sent.
 */
export function personIndexUploadRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, commits } = deps;
  requirePerson(scope, db);
  addIndexUpload(scope, deps, '/.api', {
    receiving: 'upload',
    storing: 'personIndex',
    check: async (request, index) => {
      const person = personOf(request);
      const { repository, commit, jobId } = index;
      const isKnown = (await isMirrored(db, repository)) || commits.find(repository, commit) !== null;
      // The index of a package is one of its own job, whoever else may write.
      if (!isKnown || repository.startsWith(packagePrefix)) throw repositoryNotFound(repository);
      if (jobId !== null) {
        await requireOwnJob(db, person, jobId);
        if (!(await indexes(db, jobId, index))) throw jobOfOtherCommit(jobId);
      }
      return { userId: person.userId, jobId };
    },
  });
}

/** Returns whether a job indexes this directory of this commit. */
async function indexes(db: Db, id: number, { repository, commit, root }: NamedIndex): Promise<boolean> {
  const { rows } = await sql`
    select from jobs
    where id = ${id} and queue = 'codeintel' and repository = ${repository} and commit = ${commit}
      and coalesce(payload ->> 'root', '') = ${root}
  `.execute(db);
  return rows.length > 0;
}
