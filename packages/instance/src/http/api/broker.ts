import { brokerNameSchema, type BrokerRecord, setBrokerSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { listBroker, removeBroker, setBroker } from '../../secrets/broker.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const params = z.object({ name: brokerNameSchema });

/** `/api/broker`: the entries of the broker, whose credentials executors get with jobs. No answer has a secret. */
export function brokerRoutes(scope: FastifyInstance, { db, vault }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/broker', async (): Promise<{ entries: BrokerRecord[] }> => {
    return { entries: await listBroker(db) };
  });
  app.put('/api/broker/:name', { schema: { params, body: setBrokerSchema } }, (request) =>
    setBroker(db, vault, request.params.name, request.body),
  );
  app.delete('/api/broker/:name', { schema: { params } }, async (request, reply) => {
    await removeBroker(db, request.params.name);
    return reply.code(204).send();
  });
}
