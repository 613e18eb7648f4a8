import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { JobAuth } from '../auth/job.ts';
import type { JobLease } from '../queue/job.ts';
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

/**
 * The same, of routes that name the job's queue. A request whose body has to say which lease it means is known by its
 * executor's credential until then.
 */
export function requireQueueLease(scope: FastifyInstance, { authenticateJob, isNamedByBody }: JobAuth): void {
  scope.decorateRequest(decorator);
  const authenticate = async (request: FastifyRequest) =>
    request.setDecorator<JobLease>(decorator, await authenticateJob(request, { queue: queueOf(request) }));
  scope.addHook('onRequest', async (request) => {
    if (!(await isNamedByBody(request))) await authenticate(request);
  });
  scope.addHook('preHandler', async (request) => {
    if (await isNamedByBody(request)) await authenticate(request);
  });
}

/** What the token of a request stands for, on a route of a scope that requires one. */
export function leaseOf(request: FastifyRequest): JobLease {
  return request.getDecorator<JobLease>(decorator);
}
