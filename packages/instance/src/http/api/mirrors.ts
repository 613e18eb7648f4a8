import { type RepositoryRecord, setRepositorySchema, syncSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import {
  listRepositories,
  readRepository,
  removeRepository,
  requestSync,
  setRepository,
} from '../../repos/records.ts';
import type { RouteDeps } from '../deps.ts';
import { repositoryParam } from '../params.ts';
import { requirePerson } from '../person.ts';

/** `/api/repositories` and `/api/syncs`: the repositories that the instance mirrors. Names have slashes, as paths. */
export function mirrorRoutes(scope: FastifyInstance, { db, vault, mirrors }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/repositories', async (): Promise<{ repositories: RepositoryRecord[] }> => {
    return { repositories: await listRepositories(db) };
  });
  app.get('/api/repositories/*', (request) => readRepository(db, repositoryParam(request)));
  app.put('/api/repositories/*', { schema: { body: setRepositorySchema } }, (request) =>
    setRepository(db, vault, repositoryParam(request), request.body),
  );
  app.delete('/api/repositories/*', async (request, reply) => {
    const place = await removeRepository(db, repositoryParam(request));
    if (place !== null) await mirrors.remove(place);
    return reply.code(204).send();
  });
  app.post('/api/syncs', { schema: { body: syncSchema } }, async (request, reply) => {
    await requestSync(db, request.body.repository);
    return reply.code(202).send(await readRepository(db, request.body.repository));
  });
}
