import { hasEnded, type JobEvent } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { jobTopic } from '../../db/topics.ts';
import { readEvents, type StoredEvent } from '../../logs/sql/events.ts';
import { currentRecord } from '../../queue/record.ts';
import type { RouteDeps } from '../deps.ts';
import { type EventStream, keepAliveMs, openEventStream } from '../event-stream.ts';
import { goneSignal } from '../gone.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';

/** Events that are read at once. */
const batchSize = 16;

const lastEventId = z.coerce.number().int().nonnegative().catch(0);

/** `GET /api/jobs/{id}/events`: the past events of a job, then new ones, until the job has ended. */
export function eventRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  app.get('/api/jobs/:id/events', { schema: { params: jobParams } }, async (request, reply) => {
    const { id } = request.params;
    await currentRecord(deps.db, id); // 404 while a status can still be sent
    const after = lastEventId.parse(request.headers['last-event-id'] ?? 0);
    const gone = goneSignal(reply, deps.stopping);
    reply.hijack();
    const stream = openEventStream(reply.raw, gone);
    try {
      await follow(deps, id, after, stream, gone);
    } catch (error) {
      if (!gone.aborted)
        request.log.error(
          { error, job: id },
          'an event stream ended with an error; its reader can resume it',
        );
    } finally {
      stream.end();
    }
  });
}

/** Sends events after `after` until the job has ended. */
async function follow(
  deps: RouteDeps,
  id: number,
  after: number,
  stream: EventStream,
  gone: AbortSignal,
): Promise<void> {
  const subscription = deps.wakes.subscribe(jobTopic(id));
  try {
    let seq = after;
    let sentWaiting = '';
    let sentAt = deps.clock.bootTime();
    while (!gone.aborted) {
      const events = await readEvents(deps.db, id, seq, batchSize);
      for (const event of events) {
        await stream.event(event.seq, wireEvent(event));
        seq = event.seq;
        if (event.body?.type === 'job' && hasEnded(event.body.job.state)) return;
      }
      if (events.length > 0) sentAt = deps.clock.bootTime();
      if (events.length === batchSize) continue;
      // The reason to wait changes with the executors and is no event of the job. Without an id, it does not move a resume.
      const record = await currentRecord(deps.db, id);
      const waiting = JSON.stringify(record.waiting);
      if (record.waiting !== null && waiting !== sentWaiting)
        await stream.event(null, { type: 'job', job: record });
      sentWaiting = waiting;
      // The reader resumes after the job's last event.
      if (hasEnded(record.state) && (await readEvents(deps.db, id, seq, 1)).length === 0) return;
      if (deps.clock.bootTime() - sentAt > keepAliveMs) {
        await stream.comment();
        sentAt = deps.clock.bootTime();
      }
      await subscription.next(1_000, gone);
    }
  } finally {
    subscription.close();
  }
}

/** Returns an event in the form of the protocol. */
function wireEvent(event: StoredEvent): JobEvent {
  if (event.body) return event.body;
  return {
    type: 'output',
    attempt: event.attempt,
    entry: event.entry,
    stream: event.stream,
    offset: event.start_offset,
    data: event.data.toString('base64'),
  };
}
