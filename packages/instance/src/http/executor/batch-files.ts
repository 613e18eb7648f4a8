import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { fileOfJob } from '../../batches/files.ts';
import type { RouteDeps } from '../deps.ts';
import { leaseOf, requireLease } from '../lease.ts';

/** `GET /.executors/files/batch-changes/{batch spec}/{file}`: a file that the steps of a job mount, for the job's token. */
export function jobBatchFileRoutes(scope: FastifyInstance, { db, blobs, jobAuth }: RouteDeps): void {
  requireLease(scope, (request) => jobAuth.authenticateJob(request, { queue: 'batches' }));
  scope.get('/.executors/files/batch-changes/:spec/:file', async (request, reply) => {
    const named = request.params as { readonly spec: string; readonly file: string };
    const { digest, bytes } = await fileOfJob(db, leaseOf(request), named);
    reply.header('content-length', bytes).type('application/octet-stream');
    return await reply.send(request.method === 'HEAD' ? Readable.from([]) : blobs.read(digest));
  });
}
