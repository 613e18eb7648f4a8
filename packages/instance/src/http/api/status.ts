import type { Status } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import { connectedExecutors } from '../../queue/sql/executors.ts';
import type { HttpDeps } from '../deps.ts';
import { requirePerson } from './person.ts';

/** `GET /api/status`: what this instance is, and what could run a job now. */
export function statusRoutes(scope: FastifyInstance, { db, version }: HttpDeps): void {
  requirePerson(scope, db);
  scope.get('/api/status', async (_request, reply) => {
    const executors = await connectedExecutors(db);
    const { rows } = await sql<Status['jobs']>`
      select count(*) filter (where state in ('queued', 'errored'))::int as queued,
        count(*) filter (where state = 'processing')::int as processing
      from jobs where state in ('queued', 'errored', 'processing')
    `.execute(db);
    const status: Status = {
      version,
      executors: executors.map((executor) => ({
        name: executor.name,
        version: executor.version,
        tiers: executor.tiers,
        draining: executor.draining,
        lastSeenAt: executor.last_seen_at.toISOString(),
      })),
      tiers: [...new Set(executors.flatMap((executor) => executor.tiers))],
      jobs: rows[0] ?? { queued: 0, processing: 0 },
    };
    return reply.send(status);
  });
}
