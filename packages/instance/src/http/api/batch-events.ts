import { batchIdSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { followBatchSpec } from '../../batches/follow.ts';
import { requireBatchSpec } from '../../batches/specs.ts';
import type { RouteDeps } from '../deps.ts';
import { answerWithEvents } from '../event-stream.ts';
import { personOf, requirePerson } from '../person.ts';

const schema = { params: z.object({ spec: batchIdSchema }) };

/** `GET /api/batch-specs/{spec}/events`: the workspaces of a batch spec, and each one again when it has changed, until the batch spec has ended. */
export function batchEventRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  app.get('/api/batch-specs/:spec/events', { schema }, async (request, reply) => {
    const [person, { spec }] = [personOf(request), request.params];
    await requireBatchSpec(deps.db, person, spec); // 404 while a status can still be sent
    await answerWithEvents(request, reply, deps, (after, gone) =>
      followBatchSpec(deps, person, spec, after, gone),
    );
  });
}
