import { receiptsRequestSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { storeReceipts } from '../../receipts/store.ts';
import { checkJobBody, readJson } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { bodyLimits } from '../limits.ts';
import { queueParam } from '../queues.ts';

/** `POST /.executors/queue/{queue}/receipts`: what an attempt asked of the network, for the job's token: 204. */
export function receiptRoutes(scope: FastifyInstance, { db, jobAuth }: RouteDeps): void {
  requireQueueLease(scope, jobAuth, true);
  readJson(scope, bodyLimits.receipts);
  scope.post(`/.executors/queue/${queueParam}/receipts`, async (request, reply) => {
    const lease = leaseOf(request);
    await storeReceipts(db, lease, checkJobBody(receiptsRequestSchema, request.body, lease));
    return await reply.code(204).send();
  });
}
