import { factsOf } from '@fumehood/base';
import { type Order, protocolHeader, protocolVersion, pushQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { authenticateExecutor } from '../../auth/executor.ts';
import { executorTopic, workTopic } from '../../db/topics.ts';
import { wake } from '../../db/transaction.ts';
import {
  type ExecutorState,
  openPushStream,
  readExecutorState,
  recordExecutor,
} from '../../queue/sql/executors.ts';
import { checkInput } from '../body.ts';
import { credentialOf, requireCredential } from '../credential.ts';
import type { RouteDeps } from '../deps.ts';
import { type EventStream, keepAliveMs, openEventStream } from '../event-stream.ts';
import { goneSignal } from '../gone.ts';
import { negotiate } from '../negotiate.ts';

/** Least time between two hints that there is work. */
const workPauseMs = 250;

/**
 * `GET /.executors/queue/push`: a stream that tells an executor at once what its next heartbeat would tell it, first the present
 * state, then each change. The newest stream of an executor ends its others, on every replica. A stream also ends when its
 * credential is no longer valid.
 */
export function pushRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  negotiate(scope);
  requireCredential(scope, deps.db);
  scope.get('/.executors/queue/push', { exposeHeadRoute: false }, (request, reply) =>
    push(deps, request, reply),
  );
}

async function push(deps: RouteDeps, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { db } = deps;
  const { id: credentialId } = credentialOf(request);
  const { executorName, machine = null } = checkInput(pushQuerySchema, request.query);
  const unknown = { version: '', queues: [], tiers: null, offer: null, network: null, beat: null };
  await recordExecutor(db, { name: executorName, credentialId, native: true, machine, ...unknown });
  const number = await openPushStream(db, executorName);
  wake(db, executorTopic(executorName));

  const left = goneSignal(reply, deps.stopping);
  const over = new AbortController();
  const gone = AbortSignal.any([left, over.signal]);
  reply.hijack();
  const stream = openEventStream(reply.raw, gone, { [protocolHeader]: String(protocolVersion) });
  const checkCredential = () => authenticateExecutor(db, request);
  const tasks = [
    sendOrders(deps, executorName, number, stream, gone, checkCredential),
    sendWorkHints(deps, stream, gone),
  ].map((task) => task.finally(() => over.abort()));
  for (const result of await Promise.allSettled(tasks)) {
    if (result.status === 'rejected' && !left.aborted)
      request.log.warn(
        { error: factsOf(result.reason), executor: executorName },
        'a push stream ended with an error',
      );
  }
  stream.end();
}

/** Sends an executor's orders until the stream is no longer its newest one. */
async function sendOrders(
  deps: RouteDeps,
  executor: string,
  number: number,
  stream: EventStream,
  gone: AbortSignal,
  checkCredential: () => Promise<unknown>,
): Promise<void> {
  const subscription = deps.wakes.subscribe(executorTopic(executor));
  try {
    let before: ExecutorState | null = null;
    while (!gone.aborted) {
      const now = await readExecutorState(deps.db, executor, before?.held ?? []);
      if (!now || now.stream !== number) return;
      for (const order of ordersSince(before, now)) await stream.event(null, order);
      before = now;
      if ((await subscription.next(keepAliveMs, gone)) > 0) continue;
      // A notification can be lost, so the state is read again after some silence, too.
      await checkCredential();
      await stream.comment();
    }
  } finally {
    subscription.close();
  }
}

/** Sends a hint when there may be work. */
async function sendWorkHints(deps: RouteDeps, stream: EventStream, gone: AbortSignal): Promise<void> {
  const subscription = deps.wakes.subscribe(workTopic);
  const hint: Order = { type: 'work' };
  try {
    while (!gone.aborted) {
      if ((await subscription.next(keepAliveMs, gone)) === 0) continue;
      await stream.event(null, hint);
      await deps.clock.sleep(workPauseMs, gone).catch(() => {});
    }
  } finally {
    subscription.close();
  }
}

/** Returns the orders that lead from the state `before`, which the executor knows, to the state `now`. */
export function ordersSince(before: ExecutorState | null, now: ExecutorState): Order[] {
  const orders: Order[] = [];
  if (before?.draining !== now.draining) orders.push({ type: 'drain', draining: now.draining });
  const known = new Set(
    before?.held.filter((job) => job.canceling).map((job) => `${job.jobId} ${job.attempt}`),
  );
  for (const { canceling, ...attempt } of now.held)
    if (canceling && !known.has(`${attempt.jobId} ${attempt.attempt}`))
      orders.push({ type: 'cancel', ...attempt });
  for (const attempt of now.lost) orders.push({ type: 'lost', ...attempt });
  return orders;
}
