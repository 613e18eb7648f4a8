import { type JobEvent, jobEventsQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { StoredEvent } from '../../logs/sql/events.ts';
import { currentRecord } from '../../queue/record.ts';
import type { RouteDeps } from '../deps.ts';
import { answerWithEvents, type Streamed } from '../event-stream.ts';
import { followJob } from '../follow.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';

/** `GET /api/jobs/{id}/events`: the past events of a job, then new ones until the job has ended, unless `follow=false`. */
export function eventRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, deps.db);
  const schema = { params: jobParams, querystring: jobEventsQuerySchema };
  app.get('/api/jobs/:id/events', { schema }, async (request, reply) => {
    const [{ id }, { follow, tail }] = [request.params, request.query];
    await currentRecord(deps, id); // 404 while a status can still be sent
    await answerWithEvents(request, reply, deps, (after, gone) =>
      streamJob(deps, { id, after, follow: follow === 'true', tail }, gone),
    );
  });
}

/** Yields events after `after` until the job has ended, or until there are no more. */
async function* streamJob(
  deps: RouteDeps,
  wanted: {
    readonly id: number;
    readonly after: number;
    readonly follow: boolean;
    readonly tail: number | undefined;
  },
  gone: AbortSignal,
): AsyncGenerator<Streamed> {
  const { id, after, follow, tail } = wanted;
  for await (const followed of followJob(deps, id, after, gone, tail)) {
    if (followed.type === 'silence' && !follow) return;
    if (followed.type === 'event')
      yield { type: 'event', id: followed.event.seq, data: wireEvent(followed.event) };
    // Without an id, it does not move a resume.
    else if (followed.type === 'waiting')
      yield { type: 'event', id: null, data: { type: 'job', job: followed.job } };
    else yield followed;
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
