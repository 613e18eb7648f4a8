import { jobNetworkQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { requireRecord } from '../../queue/record.ts';
import { readNetwork } from '../../receipts/store.ts';
import type { RouteDeps } from '../deps.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';

/** `GET /api/jobs/{id}/network`: what an attempt of a job has asked of the network so far. */
export function jobNetworkRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  requirePerson(scope, db);
  scope
    .withTypeProvider<ZodTypeProvider>()
    .get(
      '/api/jobs/:id/network',
      { schema: { params: jobParams, querystring: jobNetworkQuerySchema } },
      async (request) => {
        const { id } = request.params;
        const { attempt } = await requireRecord(db, id);
        return await readNetwork(db, { id, attempt }, request.query.attempt ?? null);
      },
    );
}
