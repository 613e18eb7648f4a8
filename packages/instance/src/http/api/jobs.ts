import { createHash } from 'node:crypto';
import {
  type Attempt,
  createJobSchema,
  idempotencyHeader,
  idempotencyKeySchema,
  listJobsSchema,
  type Why,
} from '@fumehood/protocol';
import { FumehoodError } from '@fumehood/base';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { requireScope } from '../../auth/people.ts';
import { queueScopes } from '../../auth/scopes.ts';
import { badRequest, jobNotFound } from '../../errors.ts';
import type { Submission } from '../../queue/kind.ts';
import { cancel, enqueue } from '../../queue/queue.ts';
import { currentRecord } from '../../queue/record.ts';
import { connectedExecutors } from '../../queue/sql/executors.ts';
import { listAttempts } from '../../queue/sql/attempts.ts';
import { listJobs, readRecord } from '../../queue/sql/jobs.ts';
import { readQueuePosition } from '../../queue/sql/shares.ts';
import { explainWait } from '../../queue/waiting.ts';
import type { RouteDeps } from '../deps.ts';
import { jobParams } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

export function jobRoutes(scope: FastifyInstance, { db, kinds, clock }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);

  app.post('/api/jobs', { schema: { body: createJobSchema } }, async (request, reply) => {
    const kind = kinds.get(request.body.queue);
    if (!kind) {
      throw new FumehoodError({
        status: 400,
        code: 'queue_unknown',
        message: `this instance has no queue ${request.body.queue}`,
      });
    }
    for (const needed of queueScopes[kind.name]) requireScope(personOf(request), needed);
    const order = orderOf(request, request.body);
    const { id } = await enqueue(db, kind.name, await kind.create(request.body), order);
    return reply.code(201).send(await currentRecord(db, id));
  });
  app.get('/api/jobs', { schema: { querystring: listJobsSchema } }, (request) => listJobs(db, request.query));
  app.get('/api/jobs/:id', { schema: { params: jobParams } }, (request) =>
    currentRecord(db, request.params.id),
  );
  app.get('/api/jobs/:id/why', { schema: { params: jobParams } }, async (request): Promise<Why> => {
    const { id } = request.params;
    const record = await readRecord(db, id);
    if (!record) throw jobNotFound(id);
    const now = new Date(clock.now());
    return explainWait(record, await connectedExecutors(db), await readQueuePosition(db, id), now);
  });
  app.get(
    '/api/jobs/:id/attempts',
    { schema: { params: jobParams } },
    async (request): Promise<{ attempts: Attempt[] }> => {
      const { id } = request.params;
      if (!(await readRecord(db, id))) throw jobNotFound(id);
      return { attempts: await listAttempts(db, id) };
    },
  );
  app.post('/api/jobs/:id/cancel', { schema: { params: jobParams } }, (request) =>
    cancel(db, kinds, request.params.id),
  );
}

/** Who asks for a job, and how it is to be tried. */
function orderOf(request: FastifyRequest, body: z.output<typeof createJobSchema>): Submission {
  const key = request.headers[idempotencyHeader];
  const parsed = key === undefined ? null : idempotencyKeySchema.safeParse(key);
  if (parsed && !parsed.success) throw badRequest(`Idempotency-Key ${parsed.error.issues[0]?.message}`);
  return {
    tenant: personOf(request).name,
    priority: body.priority,
    processAfter: body.processAfter === null ? null : new Date(body.processAfter),
    retryPauseMs: body.retryPauseMs,
    idempotency: parsed && {
      key: parsed.data,
      // The schema has put its parts in one order.
      requestSha256: createHash('sha256').update(JSON.stringify(body)).digest(),
    },
  };
}
