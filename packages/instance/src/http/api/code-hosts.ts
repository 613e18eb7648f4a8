import { type CodeHostRecord, codeHostNameSchema, setCodeHostSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listCodeHosts, removeCodeHost, setCodeHost } from '../../code-hosts/records.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ name: codeHostNameSchema });

/** `/api/code-hosts`: where the instance opens changesets, and with which tokens. No answer has a token. */
export function codeHostRoutes(scope: FastifyInstance, { db, vault }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(
    '/api/code-hosts',
    async (): Promise<{ codeHosts: CodeHostRecord[] }> => ({ codeHosts: await listCodeHosts(db) }),
  );
  app.put('/api/code-hosts/:name', { schema: { params, body: setCodeHostSchema } }, (request) =>
    setCodeHost(db, vault, request.params.name, request.body, personOf(request).name),
  );
  app.delete('/api/code-hosts/:name', { schema: { params } }, async (request, reply) => {
    await removeCodeHost(db, request.params.name);
    return reply.code(204).send();
  });
}
