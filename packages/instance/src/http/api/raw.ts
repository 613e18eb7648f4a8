import { Readable } from 'node:stream';
import { anyRelativePathSchema, revisionSchema, storedRepositorySchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { badRequest } from '../../errors.ts';
import { bytesOfObject, listBelow, zipOf } from '../../repos/archive.ts';
import { findFiles, mirrorOf, readCommitTime, resolveRevision } from '../../repos/commit-files.ts';
import { pathNotFound } from '../../repos/errors.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { readAtPace } from '../pace.ts';
import { requirePerson } from '../person.ts';
import { rawBase } from '../raw-path.ts';
import { holderOf } from '../receive.ts';

/** What upstream's clients send as `Accept` for an archive. */
const zipType = /\bapplication\/(x-)?zip\b/;

/**
 * `GET /{repository}@{revision}/-/raw[/{path}]`: one file of a mirror; with `Accept: application/zip` an archive of what is at the path or below it. The
 * revision may be missing: that is the default branch.
 */
export function rawRoutes(scope: FastifyInstance, { db, mirrors, turns, limits }: RouteDeps): void {
  requirePerson(scope, db);
  scope.get(`${rawBase}/*`, { exposeHeadRoute: false }, async (request, reply) => {
    const { repository, revision, path } = placeIn(request);
    const gone = goneSignal(reply);
    const mirror = await mirrorOf(db, mirrors, repository);
    const commit = await resolveRevision(mirror, revision);
    const turn = await turns.clone.take(holderOf(request), gone);
    if (reply.raw.closed) turn[Symbol.dispose]();
    else reply.raw.once('close', () => turn[Symbol.dispose]());
    const send = (bytes: AsyncIterable<Buffer>) =>
      reply.send(Readable.from(readAtPace(bytes, limits, () => reply.raw.destroy())));
    // Whoever opens the address in a browser gets a file that is saved.
    reply.header('x-content-type-options', 'nosniff').header('content-disposition', 'attachment');
    if (zipType.test(request.headers.accept ?? '')) {
      const entries = await listBelow(mirror, commit, path);
      if (entries.length === 0 && path !== '') throw pathNotFound(path, commit);
      const time = await readCommitTime(mirror, commit);
      reply.type('application/zip');
      return send(zipOf(mirror, entries, time ?? 0));
    }
    const [file] = await findFiles(mirror, [{ commit, path }]);
    if (!file) throw pathNotFound(path, commit);
    reply.type('application/octet-stream').header('content-length', file.size);
    return send(bytesOfObject(mirror, file.object));
  });
}

/** Returns what a request names. Errors: `invalid_request`. */
function placeIn(request: FastifyRequest) {
  const asked = (request.params as { '*': string })['*'];
  const [, name, revision, path = ''] = /^([^@]+?)(?:@(.+?))?\/-\/raw(?:\/(.*))?$/s.exec(asked) ?? [];
  const repository = storedRepositorySchema.safeParse(name);
  if (!repository.success)
    throw badRequest('a repository name has letters, digits, dots, hyphens and slashes');
  if (revision !== undefined && !revisionSchema.safeParse(revision).success)
    throw badRequest('a revision is a branch, a tag or a commit');
  const checked = anyRelativePathSchema.safeParse(path.replace(/\/$/, ''));
  if (!checked.success) throw badRequest('the path leads out of the repository');
  return { repository: repository.data, revision: revision ?? null, path: checked.data };
}
