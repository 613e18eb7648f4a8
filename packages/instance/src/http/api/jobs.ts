import { createJobSchema, jobIdSchema, type JobRecord } from '@glovebox/protocol';
import { GloveboxError } from '@glovebox/base';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { requireToken } from '../../auth/people.ts';
import { jobNotFound } from '../../errors.ts';
import { recordOf } from '../../queue/job.ts';
import { cancel, enqueue } from '../../queue/queue.ts';
import { connectedExecutors } from '../../queue/sql/executors.ts';
import { readJob } from '../../queue/sql/read.ts';
import { whyWaiting } from '../../queue/waiting.ts';
import type { HttpDeps } from '../deps.ts';

export const jobParams = z.object({ id: z.coerce.number().pipe(jobIdSchema) });

/** The job's record as of now, with why it waits. Errors: `job_not_found`. */
export async function currentRecord({ db }: Pick<HttpDeps, 'db'>, id: number): Promise<JobRecord> {
  const job = await readJob(db, id);
  if (!job) throw jobNotFound(id);
  const waits = job.state === 'queued' || job.state === 'errored';
  return recordOf(job, waits ? whyWaiting(job, await connectedExecutors(db)) : null);
}

export function jobRoutes(scope: FastifyInstance, deps: HttpDeps): void {
  const { db, kinds } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  scope.addHook('onRequest', async (request) => requireToken(db, request));

  app.post('/api/jobs', { schema: { body: createJobSchema } }, async (request, reply) => {
    const kind = kinds.get(request.body.queue);
    if (!kind) {
      throw new GloveboxError({
        status: 400,
        code: 'queue_unknown',
        message: `this instance has no queue ${request.body.queue}`,
      });
    }
    const { id } = await enqueue(db, kind.name, await kind.create(request.body));
    return reply.code(201).send(await currentRecord(deps, id));
  });
  app.get('/api/jobs/:id', { schema: { params: jobParams } }, (request) =>
    currentRecord(deps, request.params.id),
  );
  app.post('/api/jobs/:id/cancel', { schema: { params: jobParams } }, (request) =>
    cancel(db, kinds, request.params.id),
  );
}
