import { type CeilingRecord, ceilingOfSchema, setCeilingSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { workTopic } from '../../db/topics.ts';
import { wake } from '../../db/transaction.ts';
import { listCeilings, removeCeiling, setCeiling } from '../../queue/sql/ceilings.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const path = '/api/network/ceilings';

/** `/api/network/ceilings`: what the jobs of a queue or a tenant may reach over the network at most, from their next lease on. */
export function ceilingRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(path, async (): Promise<{ ceilings: CeilingRecord[] }> => ({ ceilings: await listCeilings(db) }));
  app.put(path, { schema: { body: setCeilingSchema } }, async (request) => {
    const ceiling = await setCeiling(db, request.body);
    wake(db, workTopic); // a job that waits may need no network now
    return ceiling;
  });
  app.delete(path, { schema: { querystring: ceilingOfSchema } }, async (request, reply) => {
    await removeCeiling(db, request.query);
    wake(db, workTopic);
    return reply.code(204).send();
  });
}
