import type { FastifyInstance } from 'fastify';
import { authenticateExecutor } from '../../auth/executor.ts';
import { touchExecutors } from '../../queue/sql/executors.ts';
import { makeWaiters } from '../../queue/waiters.ts';
import type { HttpDeps } from '../deps.ts';
import { readJson } from './body.ts';
import { dequeue } from './dequeue.ts';
import { heartbeat } from './heartbeat.ts';
import { negotiate } from './negotiate.ts';
import { push } from './push.ts';
import { queueOf, queueParam } from './queues.ts';

/** Telemetry of an upstream heartbeat included. */
const bodyLimitBytes = 4 * 2 ** 20;

/** Routes of an executor's credential: leases, heartbeats and what it has to be told, nothing else. */
export function executorRoutes(scope: FastifyInstance, deps: HttpDeps): void {
  const waiters = makeWaiters({
    ...deps,
    keepConnected: (names) => touchExecutors(deps.db, names),
  });
  readJson(scope, bodyLimitBytes);
  negotiate(scope);
  // Upstream's `validate` asks under the prefix of the queues too, and sends a body.
  for (const prefix of ['', '/.executors/queue'])
    scope.get(`${prefix}/.executors/test/auth`, async (request, reply) => {
      await authenticateExecutor(deps.db, request);
      return reply.type('text/plain').send('ok');
    });
  scope.post('/.executors/queue/dequeue', async (request, reply) =>
    dequeue(deps, waiters, request, reply, null),
  );
  scope.post(`/.executors/queue/${queueParam}/dequeue`, async (request, reply) =>
    dequeue(deps, waiters, request, reply, queueOf(request)),
  );
  scope.post('/.executors/queue/heartbeat', (request) => heartbeat(deps, request, null));
  scope.post(`/.executors/queue/${queueParam}/heartbeat`, (request) =>
    heartbeat(deps, request, queueOf(request)),
  );
  scope.get('/.executors/queue/push', { exposeHeadRoute: false }, (request, reply) =>
    push(deps, request, reply),
  );
}
