import type { Readable } from 'node:stream';
import { commitSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { badRequest } from '../errors.ts';
import type { DomainDeps } from '../instance.ts';
import { gitRouteUnknown } from './errors.ts';
import type { CommitStore } from './store.ts';

const suffix = '/pack';
/** Names as upstream has them: a host and a path, or just a path. */
const nameSchema = z
  .string()
  .max(400)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/);

/** `POST /api/repositories/{name}/pack?commit=`: puts one commit there, as a pack. */
export function packRoutes(
  scope: FastifyInstance,
  { requirePerson }: Pick<DomainDeps, 'requirePerson'>,
  commits: CommitStore,
): void {
  requirePerson(scope);
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  scope.post('/api/repositories/*', async (request, reply) => {
    const path = (request.params as { '*': string })['*'];
    if (!path.endsWith(suffix)) throw gitRouteUnknown(request.url);
    const name = nameSchema.safeParse(path.slice(0, -suffix.length));
    if (!name.success) throw badRequest('a repository name has letters, digits, dots, hyphens and slashes');
    const commit = commitSchema.safeParse((request.query as { commit?: unknown }).commit);
    if (!commit.success) throw badRequest('`commit` is 40 hexadecimal digits');
    const pack = (request.body as Readable | undefined) ?? request.raw;
    const made = await commits.add(name.data, commit.data, pack);
    if (!made) pack.resume(); // the sender is told when it has sent all
    return reply.code(made ? 201 : 200).send({ repository: name.data, commit: commit.data });
  });
}
