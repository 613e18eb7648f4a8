import type { Status } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { connectedExecutors } from '../../queue/sql/executors.ts';
import { countJobs } from '../../queue/sql/jobs.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

/** `GET /api/status`: the instance's version, its connected executors, and how many jobs wait and run. */
export function statusRoutes(scope: FastifyInstance, { db, version }: RouteDeps): void {
  requirePerson(scope, db);
  scope.get('/api/status', async (_request, reply) => {
    const executors = await connectedExecutors(db);
    const status: Status = {
      version,
      executors: executors.map((executor) => ({
        name: executor.name,
        version: executor.version,
        tiers: executor.tiers,
        network: executor.egress,
        draining: executor.draining,
        trouble: executor.trouble,
        lastSeenAt: executor.last_seen_at.toISOString(),
      })),
      tiers: [...new Set(executors.flatMap((executor) => executor.tiers))],
      jobs: await countJobs(db),
    };
    return reply.send(status);
  });
}
