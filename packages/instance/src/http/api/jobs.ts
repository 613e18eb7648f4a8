import { createHash } from 'node:crypto';
import {
  type Attempt,
  createJobSchema,
  idempotencyHeader,
  idempotencyKeySchema,
  listJobsSchema,
  scopesOf,
  type Why,
} from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { listableTenant } from '../../auth/owner.ts';
import { requireScope } from '../../auth/people.ts';
import { badRequest, jobNotEnded } from '../../errors.ts';
import { kindOf, type Submission } from '../../queue/kind.ts';
import { cancel, enqueue } from '../../queue/queue.ts';
import { currentRecord, requireRecord } from '../../queue/record.ts';
import { listAttempts } from '../../queue/sql/attempts.ts';
import { ceilingsOfJob } from '../../queue/sql/ceilings.ts';
import { connectedExecutors } from '../../queue/sql/executors.ts';
import { listJobs } from '../../queue/sql/jobs.ts';
import { readQueuePosition } from '../../queue/sql/shares.ts';
import { explainWait } from '../../queue/waiting.ts';
import { removeJob } from '../../retention/rows.ts';
import { requireBroker } from '../../secrets/broker.ts';
import { requireSecrets } from '../../secrets/secrets.ts';
import type { RouteDeps } from '../deps.ts';
import { jobParams } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/jobs`: creates, lists, shows, cancels and deletes jobs, and says why one waits. */
export function jobRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, kinds, clock } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);

  app.post('/api/jobs', { schema: { body: createJobSchema } }, async (request, reply) => {
    const { queue } = request.body;
    for (const needed of scopesOf(request.body)) requireScope(personOf(request), needed);
    const submission = submissionOf(request, request.body);
    await requireSecrets(db, submission.tenant, request.body.secrets);
    await requireBroker(db, { queue, repository: repositoryOf(request.body) }, request.body.broker ?? []);
    const { id } = await enqueue(db, queue, await kindOf(kinds, queue).create(request.body), submission);
    return reply.code(201).send(await currentRecord(deps, id));
  });
  app.get('/api/jobs', { schema: { querystring: listJobsSchema } }, (request) =>
    listJobs(db, { ...request.query, tenant: listableTenant(personOf(request), request.query.tenant) }),
  );
  app.get('/api/jobs/:id', { schema: { params: jobParams } }, (request) =>
    currentRecord(deps, request.params.id),
  );
  app.get('/api/jobs/:id/why', { schema: { params: jobParams } }, async (request): Promise<Why> => {
    const { id } = request.params;
    const record = await requireRecord(db, id);
    const now = new Date(clock.now());
    const of = { job: record, ceilings: await ceilingsOfJob(db, id) };
    return explainWait(of, await connectedExecutors(db), await readQueuePosition(db, id), now);
  });
  app.get(
    '/api/jobs/:id/attempts',
    { schema: { params: jobParams } },
    async (request): Promise<{ attempts: Attempt[] }> => {
      const { id } = request.params;
      await requireRecord(db, id);
      return { attempts: await listAttempts(db, id) };
    },
  );
  app.delete('/api/jobs/:id', { schema: { params: jobParams } }, async (request, reply) => {
    const { id } = request.params;
    const { state } = await requireRecord(db, id);
    if (!(await removeJob(db, id))) throw jobNotEnded(id, state);
    return reply.code(204).send();
  });
  app.post('/api/jobs/:id/cancel', { schema: { params: jobParams } }, (request) =>
    cancel(db, kinds, request.params.id),
  );
}

/** Returns the repository whose code a job gets; `''`: none. */
function repositoryOf(body: z.output<typeof createJobSchema>): string {
  if (body.queue === 'codeintel') return body.repository;
  return body.workspace && 'repository' in body.workspace ? body.workspace.repository : '';
}

/** Returns whose job a request makes, and when and how often it is tried. Errors: `invalid_request` for the idempotency key. */
function submissionOf(request: FastifyRequest, body: z.output<typeof createJobSchema>): Submission {
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
      // The schema has put the fields in one order.
      requestSha256: createHash('sha256').update(JSON.stringify(body)).digest(),
    },
  };
}
