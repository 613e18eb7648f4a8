import { queueNameSchema, type Share, shareWeightSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listShares, setShareWeight } from '../../queue/sql/shares.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const shareParams = z.object({ queue: queueNameSchema, tenant: z.string().min(1).max(200) });

/** `GET /api/shares` and `PUT /api/shares/{queue}/{tenant}`: each tenant's weight in each queue. */
export function shareRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/shares', async (): Promise<{ shares: Share[] }> => ({ shares: await listShares(db) }));
  app.put(
    '/api/shares/:queue/:tenant',
    { schema: { params: shareParams, body: shareWeightSchema } },
    async (request, reply) => {
      const { tenant, queue } = request.params;
      await setShareWeight(db, tenant, queue, request.body.weight);
      return reply.code(204).send();
    },
  );
}
