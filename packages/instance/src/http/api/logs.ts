import { Readable } from 'node:stream';
import { jobLogsQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { currentRecord } from '../../queue/record.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';
import { followJob } from '../follow.ts';

/** Log entries of the executor's own work, whose output is not the job's. */
const ownWork = /^(?:setup|teardown)\./;

/** `GET /api/jobs/{id}/logs`: the output of a job's steps as plain text, so far or, with `follow`, until the job has ended. */
export function jobLogRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  app.get(
    '/api/jobs/:id/logs',
    { schema: { params: jobParams, querystring: jobLogsQuerySchema }, exposeHeadRoute: false },
    async (request, reply) => {
      const { id } = request.params;
      await currentRecord(deps, id); // 404 while a status can still be sent
      const gone = goneSignal(reply, deps.stopping);
      const follow = (request.query.follow ?? 'false') !== 'false';
      return await reply
        .type('text/plain; charset=utf-8')
        .headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
        .send(Readable.from(outputOf(deps, id, follow, gone)));
    },
  );
}

/** Yields the output of the job's steps, of every attempt, both streams in the order of their arrival. */
async function* outputOf(
  deps: RouteDeps,
  id: number,
  follow: boolean,
  gone: AbortSignal,
): AsyncGenerator<Buffer> {
  const steps = new Set<string>();
  for await (const followed of followJob(deps, id, 0, gone)) {
    if (followed.type === 'silence' && !follow) return;
    if (followed.type !== 'event') continue;
    const { event } = followed;
    if (event.body?.type === 'entry' && !ownWork.test(event.body.entry.key))
      steps.add(`${event.body.entry.attempt} ${event.body.entry.entry}`);
    if (event.type === 'output' && steps.has(`${event.attempt} ${event.entry}`)) yield event.data;
  }
}
