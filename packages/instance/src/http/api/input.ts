import { jobInputQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { appendInput } from '../../logs/input.ts';
import type { HttpDeps } from '../deps.ts';
import { readBytes } from '../executor/body.ts';
import { jobParams } from './jobs.ts';
import { requirePerson } from './person.ts';

const inputLimitBytes = 4 * 2 ** 20;

/** `POST /api/jobs/{id}/input`: bytes for a job's stdin. */
export function inputRoutes(scope: FastifyInstance, { db }: HttpDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  readBytes(scope, inputLimitBytes);
  app.post(
    '/api/jobs/:id/input',
    { schema: { params: jobParams, querystring: jobInputQuerySchema } },
    async (request, reply) => {
      const { offset, end } = request.query;
      const data = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const next = await appendInput(db, request.params.id, offset, data, end === 'true');
      return reply.send({ offset: next });
    },
  );
}
