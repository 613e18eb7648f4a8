import {
  jobResultRequestSchema,
  markCompleteRequestSchema,
  markFailedRequestSchema,
} from '@fumehood/protocol';
import { FumehoodError } from '@fumehood/base';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { tooManyResults } from '../../errors.ts';
import { fenced, mark, publishJob } from '../../queue/queue.ts';
import { resultsMax, saveResult } from '../../queue/sql/attempts.ts';
import { checkJobBody, readJson } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { bodyLimits } from '../limits.ts';
import { queueParam } from '../queues.ts';

/**
 * `POST /.executors/queue/{queue}/markComplete`, `…/markErrored` and `…/markFailed` end an attempt; `…/result` stores facts of its run
 * before that. All are for a job's token.
 */
export function markRoutes(scope: FastifyInstance, { db, kinds, jobAuth }: RouteDeps): void {
  requireQueueLease(scope, jobAuth);
  readJson(scope, bodyLimits.mark);
  const path = (name: string) => `/.executors/queue/${queueParam}/${name}`;

  scope.post(path('markComplete'), async (request, reply) => {
    const lease = leaseOf(request);
    checkJobBody(markCompleteRequestSchema, request.body, lease);
    return await answerMark(reply, mark(db, kinds, lease, 'complete', null));
  });
  for (const [name, transition] of [
    ['markErrored', 'error'],
    ['markFailed', 'fail'],
  ] as const) {
    scope.post(path(name), async (request, reply) => {
      const lease = leaseOf(request);
      const body = checkJobBody(markFailedRequestSchema, request.body, lease);
      const failure = { reason: body.reason ?? 'failed', message: body.errorMessage };
      return await answerMark(reply, mark(db, kinds, lease, transition, failure));
    });
  }
  scope.post(path('result'), async (request, reply) => {
    const lease = leaseOf(request);
    const result = checkJobBody(jobResultRequestSchema, request.body, lease);
    await fenced(db, lease, async (tx, job) => {
      if (!(await saveResult(tx, job, result))) throw tooManyResults(resultsMax);
      await publishJob(tx, job.id);
    });
    return reply.code(204).send();
  });
}

/** Answers a mark: 204, or upstream's 404 with `null` when the lease ended meanwhile. */
async function answerMark(reply: FastifyReply, marking: Promise<void>): Promise<FastifyReply> {
  try {
    await marking;
  } catch (error) {
    if (error instanceof FumehoodError && error.code === 'lease_lost')
      return reply.code(404).type('application/json').send('null');
    throw error;
  }
  return reply.code(204).send();
}
