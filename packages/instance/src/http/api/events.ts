import { type JobEvent, jobEventsQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { StoredEvent } from '../../logs/sql/events.ts';
import { currentRecord } from '../../queue/record.ts';
import type { RouteDeps } from '../deps.ts';
import { type EventStream, keepAliveMs, openEventStream } from '../event-stream.ts';
import { goneSignal } from '../gone.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';
import { followJob } from '../follow.ts';

const lastEventId = z.coerce.number().int().nonnegative().catch(0);

/** `GET /api/jobs/{id}/events`: the past events of a job, then new ones until the job has ended, unless `follow=false`. */
export function eventRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  const schema = { params: jobParams, querystring: jobEventsQuerySchema };
  app.get('/api/jobs/:id/events', { schema }, async (request, reply) => {
    const { id } = request.params;
    await currentRecord(deps, id); // 404 while a status can still be sent
    const after = lastEventId.parse(request.headers['last-event-id'] ?? 0);
    const gone = goneSignal(reply, deps.stopping);
    reply.hijack();
    const stream = openEventStream(reply.raw, gone);
    try {
      const { follow, tail } = request.query;
      await sendEvents(deps, { id, after, follow: follow === 'true', tail }, stream, gone);
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

/** Sends events after `after` until the job has ended, or until there are no more. Sends a comment after some silence. */
async function sendEvents(
  deps: RouteDeps,
  wanted: {
    readonly id: number;
    readonly after: number;
    readonly follow: boolean;
    readonly tail: number | undefined;
  },
  stream: EventStream,
  gone: AbortSignal,
): Promise<void> {
  const { id, after, follow, tail } = wanted;
  let sentAt = deps.clock.bootTime();
  for await (const followed of followJob(deps, id, after, gone, tail)) {
    if (followed.type === 'silence' && !follow) return;
    if (followed.type === 'event') await stream.event(followed.event.seq, wireEvent(followed.event));
    // Without an id, it does not move a resume.
    else if (followed.type === 'waiting') await stream.event(null, { type: 'job', job: followed.job });
    else if (deps.clock.bootTime() - sentAt > keepAliveMs) await stream.comment();
    else continue;
    sentAt = deps.clock.bootTime();
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
