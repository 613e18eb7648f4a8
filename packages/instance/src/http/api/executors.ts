import { executorNameSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { executorTopic, workTopic } from '../../db/topics.ts';
import { wake } from '../../db/transaction.ts';
import { executorNotFound } from '../../errors.ts';
import { setDraining } from '../../queue/sql/executors.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

const params = z.object({ name: executorNameSchema });

/**
 * `POST /api/executors/{name}/drain`: the executor leases no more jobs, and those that run go on; `…/resume` takes that back. 204, also
 * when nothing changes. Errors: `executor_not_found`.
 */
export function executorRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  for (const [action, draining] of [
    ['drain', true],
    ['resume', false],
  ] as const) {
    app.post(`/api/executors/:name/${action}`, { schema: { params } }, async (request, reply) => {
      const { name } = request.params;
      if (!(await setDraining(db, name, draining))) throw executorNotFound(name);
      wake(db, executorTopic(name));
      if (!draining) wake(db, workTopic); // the instance may hold a request of this executor
      return reply.code(204).send();
    });
  }
}
