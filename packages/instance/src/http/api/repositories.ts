import { createReadStream } from 'node:fs';
import { packMax } from '@fumehood/git';
import { commitSchema, storedRepositorySchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { badRequest } from '../../errors.ts';
import { gitRouteUnknown, packTooBig } from '../../repos/errors.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { requirePerson } from '../person.ts';
import { holderOf } from '../receive.ts';

const suffix = '/pack';

const querystring = z.object({ commit: commitSchema });

/** `POST /api/repositories/{name}/pack?commit=`: stores one commit, which the body holds as a pack. */
export function repositoryRoutes(scope: FastifyInstance, { db, commits, staging, turns }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  readStream(scope);
  /** Receives the body as a file, and has git check it when it is its turn. The turns are over before the answer is sent. */
  const receive = async (
    request: FastifyRequest,
    gone: AbortSignal,
    run: (path: string) => Promise<boolean>,
  ) => {
    const holder = holderOf(request);
    using _upload = await turns.upload.take(holder, gone);
    await using pack = await staging.write(streamOf(request), packMax, packTooBig);
    using _check = await turns.pack.take(holder, gone);
    return await run(pack.path);
  };
  app.post('/api/repositories/*', { schema: { querystring } }, async (request, reply) => {
    const path = (request.params as { '*': string })['*'];
    if (!path.endsWith(suffix)) throw gitRouteUnknown(request.url);
    const name = storedRepositorySchema.safeParse(path.slice(0, -suffix.length));
    if (!name.success) throw badRequest('a repository name has letters, digits, dots, hyphens and slashes');
    const { commit } = request.query;
    const made = await receive(request, goneSignal(reply), (path) =>
      commits.add(name.data, commit, createReadStream(path)),
    );
    return reply.code(made ? 201 : 200).send({ repository: name.data, commit });
  });
}
