import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { JobAuth } from '../auth/job.ts';
import type { JobLease } from '../queue/job.ts';
import { queueOf } from './queues.ts';
import { prove } from './receive.ts';

const decorator = 'lease';

/** Makes the routes of a scope check the job's token before they read a body. */
export function requireLease(
  scope: FastifyInstance,
  authenticate: (request: FastifyRequest) => Promise<JobLease>,
): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    hold(request, await authenticate(request));
  });
}

/**
 * Makes the routes of a scope, whose paths name the queue, check the job's token before they read a body. A request that names its job
 * in its body alone is checked for its executor's credential first, and for its lease when the body is there. `takesLog`: the routes
 * write the log, which a canceled job may still do.
 */
export function requireQueueLease(
  scope: FastifyInstance,
  { authenticateJob, credentialForBody }: JobAuth,
  takesLog = false,
): void {
  scope.decorateRequest(decorator);
  const authenticate = async (request: FastifyRequest) =>
    hold(request, await authenticateJob(request, { queue: queueOf(request), takesLog }));
  scope.addHook('onRequest', async (request) => {
    const credential = await credentialForBody(request);
    if (credential) prove(request, `credential ${credential.id}`);
    else await authenticate(request);
  });
  scope.addHook('preHandler', async (request) => {
    if (await credentialForBody(request)) await authenticate(request);
  });
}

function hold(request: FastifyRequest, lease: JobLease): void {
  request.setDecorator<JobLease>(decorator, lease);
  prove(request, `job ${lease.jobId}`);
}

/** Returns the lease that the token of a request stands for, in a scope that requires one. */
export function leaseOf(request: FastifyRequest): JobLease {
  return request.getDecorator<JobLease>(decorator);
}
