import { Readable } from 'node:stream';
import { digestSchema, inputEndHeader, inputQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { inputTopic } from '../../db/topics.ts';
import { blobNotFound } from '../../errors.ts';
import { readInput } from '../../logs/input.ts';
import { kindOf } from '../../queue/kind.ts';
import { readJob } from '../../queue/sql/jobs.ts';
import { checkInput } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { queueParam } from '../queues.ts';

/** `GET /.executors/queue/{queue}/input` and `…/blob/{digest}`: a job's stdin, its images and its workspace, for the job's token. */
export function jobInputRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, wakes, clock, kinds, blobs, jobAuth } = deps;
  requireQueueLease(scope, jobAuth);

  scope.get(`/.executors/queue/${queueParam}/input`, async (request, reply) => {
    const lease = leaseOf(request);
    const { offset, waitMs } = checkInput(inputQuerySchema, request.query);
    const gone = goneSignal(reply, deps.stopping);
    const subscription = wakes.subscribe(inputTopic(lease.jobId));
    try {
      const deadline = clock.bootTime() + waitMs;
      let part = await readInput(db, lease.jobId, offset);
      for (;;) {
        const left = deadline - clock.bootTime();
        if (part.data.length > 0 || part.end || left <= 0 || gone.aborted) break;
        await subscription.next(Math.min(left, 1_000), gone);
        part = await readInput(db, lease.jobId, offset);
      }
      if (part.end) reply.header(inputEndHeader, 'true');
      return await reply.type('application/octet-stream').send(part.data);
    } finally {
      subscription.close();
    }
  });

  scope.get(`/.executors/queue/${queueParam}/blob/:digest`, async (request, reply) => {
    const lease = leaseOf(request);
    const digest = checkInput(digestSchema, (request.params as { digest?: unknown }).digest);
    const job = await readJob(db, lease.jobId);
    if (!job) throw blobNotFound(digest);
    const kind = kindOf(kinds, job.queue);
    const content = kind.content(job);
    const steps = content.dockerSteps ?? [];
    // A token reads only blobs that its job names, and cannot find out which others exist.
    const isNamed =
      content.fumehood.workspace === digest ||
      steps.some(({ image }) => image === `blob:${digest}`) ||
      (await kind.steps?.hasNamed(db, job, digest)) === true;
    if (!isNamed) throw blobNotFound(digest);
    reply.header('content-length', await blobs.size(digest)).type('application/octet-stream');
    // Fastify would set the length of an empty body to 0; it leaves the header alone for a stream.
    return await reply.send(request.method === 'HEAD' ? Readable.from([]) : blobs.read(digest));
  });
}
