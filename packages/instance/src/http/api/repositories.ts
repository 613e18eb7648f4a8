import { commitSchema, repositoryNameSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { badRequest } from '../../errors.ts';
import { gitRouteUnknown } from '../../repos/errors.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const suffix = '/pack';
/** A repository's name as upstream has it: a host and a path, or a path alone. */
const nameSchema = repositoryNameSchema.regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/);

/** `POST /api/repositories/{name}/pack?commit=`: stores one commit, which the body holds as a pack. */
export function repositoryRoutes(scope: FastifyInstance, { db, commits }: RouteDeps): void {
  requirePerson(scope, db);
  readStream(scope);
  scope.post('/api/repositories/*', async (request, reply) => {
    const path = (request.params as { '*': string })['*'];
    if (!path.endsWith(suffix)) throw gitRouteUnknown(request.url);
    const name = nameSchema.safeParse(path.slice(0, -suffix.length));
    if (!name.success) throw badRequest('a repository name has letters, digits, dots, hyphens and slashes');
    const commit = commitSchema.safeParse((request.query as { commit?: unknown }).commit);
    if (!commit.success) throw badRequest('`commit` is 40 hexadecimal digits');
    const pack = streamOf(request);
    const made = await commits.add(name.data, commit.data, pack);
    if (!made) pack.resume(); // the client reads the answer after it has sent everything
    return reply.code(made ? 201 : 200).send({ repository: name.data, commit: commit.data });
  });
}
