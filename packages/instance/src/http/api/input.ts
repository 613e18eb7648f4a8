import { jobInputQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { appendInput } from '../../logs/input.ts';
import { bytesOf, readBytes } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { bodyLimits } from '../limits.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';

/** `POST /api/jobs/{id}/input`: appends bytes to a job's stdin. */
export function inputRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  readBytes(scope, bodyLimits.input);
  app.post(
    '/api/jobs/:id/input',
    { schema: { params: jobParams, querystring: jobInputQuerySchema } },
    async (request, reply) => {
      const { offset, end } = request.query;
      const next = await appendInput(db, request.params.id, offset, bytesOf(request), end === 'true');
      return reply.send({ offset: next });
    },
  );
}
