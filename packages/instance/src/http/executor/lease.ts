import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { JobAuth, JobLease } from '../../auth/job.ts';
import { queueOf } from './queues.ts';

const decorator = 'lease';

/** Has the routes of a scope look at the job's token before they read a body: who has none sends nothing that is kept. */
export function requireLease(
  scope: FastifyInstance,
  authenticate: (request: FastifyRequest) => Promise<JobLease>,
): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    request.setDecorator<JobLease>(decorator, await authenticate(request));
  });
}

/** The same, of routes that name the job's queue. */
export function requireQueueLease(scope: FastifyInstance, { authenticateJob }: JobAuth): void {
  requireLease(scope, (request) => authenticateJob(request, { queue: queueOf(request) }));
}

/** What the token of a request stands for, on a route of a scope that requires one. */
export function leaseOf(request: FastifyRequest): JobLease {
  return request.getDecorator<JobLease>(decorator);
}
