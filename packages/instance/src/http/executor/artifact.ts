import { artifactBytesMax, artifactQuerySchema } from '@fumehood/protocol';
import { stat } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { storeArtifact } from '../../artifacts/store.ts';
import { artifactNotDeclared, artifactTooBig } from '../../errors.ts';
import { kindOf } from '../../queue/kind.ts';
import { readJob } from '../../queue/sql/jobs.ts';
import { checkInput, readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { queueParam } from '../queues.ts';
import { holderOf } from '../receive.ts';

/**
 * `POST /.executors/queue/{queue}/artifact?path=`: what an attempt brings back from a path that its job names, for the job's token: 204. The
 * instance stores the bytes, and interprets none of them.
 */
export function jobArtifactRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, kinds, blobs, staging, turns, jobAuth } = deps;
  requireQueueLease(scope, jobAuth);
  readStream(scope);
  scope.post(`/.executors/queue/${queueParam}/artifact`, async (request, reply) => {
    const lease = leaseOf(request);
    const { path } = checkInput(artifactQuerySchema, request.query);
    const job = await readJob(db, lease.jobId);
    const declared = (job && kindOf(kinds, job.queue).content(job).fumehood.artifacts) ?? [];
    if (!declared.includes(path)) throw artifactNotDeclared(path);
    using _upload = await turns.indexUpload.take(holderOf(request), goneSignal(reply));
    await using staged = await staging.write(streamOf(request), artifactBytesMax, artifactTooBig);
    const { digest } = staged;
    const { size: bytes } = await stat(staged.path);
    await blobs.keep(staged);
    await storeArtifact(db, lease, { path, digest, bytes });
    // It is sent when the turn is over: whoever has the answer may send the next artifact at once.
    reply.code(204);
  });
}
