import { stat } from 'node:fs/promises';
import {
  nextStepRequestSchema,
  type QueueName,
  stepDiffBytesMax,
  stepDiffQuerySchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { noSteps, stepDiffMissing, stepDiffTooBig } from '../../queue/errors.ts';
import { type JobSteps, kindOf, type Locked, type QueueKinds } from '../../queue/kind.ts';
import { fenced } from '../../queue/queue.ts';
import { findStepDiff, storeStepDiff } from '../../queue/sql/step-diffs.ts';
import { checkInput, checkJobBody, readJson, readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { leaseOf, requireQueueLease } from '../lease.ts';
import { bodyLimits } from '../limits.ts';
import { queueParam } from '../queues.ts';
import { holderOf } from '../receive.ts';

/**
 * `POST /.executors/queue/{queue}/nextStep` and `…/stepDiff?step=`: what a step of a batch job has left, and what follows it, for the job's
 * token. The diff of a step is stored before its end is reported; no executor can report a diff that its attempt has not sent.
 */
export async function batchStepRoutes(scope: FastifyInstance, deps: RouteDeps): Promise<void> {
  const { db, kinds, blobs, staging, turns, jobAuth } = deps;
  requireQueueLease(scope, jobAuth);

  await scope.register(async (json) => {
    readJson(json, bodyLimits.step);
    json.post(`/.executors/queue/${queueParam}/nextStep`, async (request, reply) => {
      const lease = leaseOf(request);
      const { done } = checkJobBody(nextStepRequestSchema, request.body, lease);
      const { next } = stepsOf(kinds, lease.queue);
      const locked: Locked = (write) => fenced(db, lease, write);
      if (done === null) return await next(locked, null);
      const diffBytes = await findStepDiff(db, lease, done);
      if (diffBytes === null) throw stepDiffMissing(done.step);
      using _diff = await turns.stepDiff.take(holderOf(request), goneSignal(reply));
      return await next(locked, { ...done, diffBytes });
    });
  });

  await scope.register(async (bytes) => {
    readStream(bytes);
    bytes.post(`/.executors/queue/${queueParam}/stepDiff`, async (request, reply) => {
      const lease = leaseOf(request);
      const { step } = checkInput(stepDiffQuerySchema, request.query);
      stepsOf(kinds, lease.queue);
      using _upload = await turns.indexUpload.take(holderOf(request), goneSignal(reply));
      await using staged = await staging.write(streamOf(request), stepDiffBytesMax, stepDiffTooBig);
      const { digest } = staged;
      const { size } = await stat(staged.path);
      await blobs.keep(staged);
      await fenced(db, lease, (tx, job) => storeStepDiff(tx, job, { step, digest, bytes: size }));
      // It is sent when the turn is over: whoever has the answer may send the next diff at once.
      return { digest };
    });
  });
}

/** Returns the steps of the jobs of a queue. Errors: `no_steps` for a queue whose jobs have all their steps from the start. */
function stepsOf(kinds: QueueKinds, queue: QueueName): JobSteps {
  const { steps } = kindOf(kinds, queue);
  if (steps === undefined) throw noSteps(queue);
  return steps;
}
