import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { JobAuth, JobLease } from '../../auth/job.ts';
import { queueOf } from './queues.ts';

const decorator = 'lease';

/** Has the routes of a scope look at the job's token before they read a body: who has none sends nothing that is kept. */
export function requireLease(scope: FastifyInstance, jobAuth: JobAuth): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    const lease = await jobAuth.authenticateJob(request, { queue: queueOf(request) });
    request.setDecorator<JobLease>(decorator, lease);
  });
}

/** What the token of a request stands for, on a route of a scope that requires one. */
export function leaseOf(request: FastifyRequest): JobLease {
  return request.getDecorator<JobLease>(decorator);
}
