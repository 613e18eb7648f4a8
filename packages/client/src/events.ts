import { factsOf, readEvents } from '@fumehood/base';
import { hasEnded, type JobEvent, jobEventSchema } from '@fumehood/protocol';
import type { ZodType } from 'zod';
import { answerUnknown } from './errors.ts';
import type { Http } from './http.ts';

/** How long the client waits for an instance that went away, for example to restart. */
const patienceMs = 60_000;
const pauseMs = 500;
/** Longest accepted event, characters. Output comes in parts of at most 1 MiB, as base64. */
const eventMax = 4 * 2 ** 20;

/** Which events of a job are wanted. */
export interface WantedEvents {
  /** Whether new events are waited for until the job ends; true by default. */
  readonly follow?: boolean;
  /** Leaves out output that ended before the last so many bytes of its stream. */
  readonly tail?: number;
}

/**
 * Yields each past and, with `follow`, each future event of a job once, until the job ends. Errors: `job_not_found`, and those of
 * `followEvents`.
 */
export async function* jobEvents(
  http: Http,
  id: number,
  { follow = true, tail }: WantedEvents,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobEvent> {
  const query = new URLSearchParams({
    ...(!follow && { follow: 'false' }),
    ...(tail !== undefined && { tail: String(tail) }),
  });
  yield* followEvents(http, {
    path: `/api/jobs/${id}/events${query.size > 0 ? `?${query.toString()}` : ''}`,
    schema: jobEventSchema,
    isLast: (event) => event.type === 'job' && hasEnded(event.job.state),
    // The job may have ended before the last event id.
    isOver: async () => !follow || (await jobHasEnded(http, id, signal)),
    isPatient: follow,
    signal,
  });
}

/** A stream of events of the instance. */
interface EventSource<E> {
  readonly path: string;
  readonly schema: ZodType<E>;
  /** Whether no event comes after this one. */
  readonly isLast: (event: E) => boolean;
  /** Asks whether a stream that has ended without its last event shall not be resumed. */
  readonly isOver: () => Promise<boolean>;
  /** Whether the client resumes a stream that breaks. */
  readonly isPatient: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Yields the events of a stream to the last one. If the stream breaks, or the instance ends it because it stops, the client resumes it after
 * the last event. Errors: those of the request; `answer_unknown`; `instance_unreachable` if the instance is away for a minute.
 */
export async function* followEvents<E>(
  http: Http,
  { path, schema, isLast, isOver, isPatient, signal }: EventSource<E>,
): AsyncGenerator<E> {
  let lastId: string | null = null;
  let lastEventAt = performance.now();
  for (;;) {
    try {
      const response = await http.send({
        ...{ method: 'GET', path, signal },
        headers: { accept: 'text/event-stream', ...(lastId !== null && { 'last-event-id': lastId }) },
      });
      if (!response.body) return;
      for await (const { id, data } of readEvents(response.body, eventMax)) {
        lastEventAt = performance.now();
        const event = parseEvent(http, schema, data);
        yield event;
        lastId = id ?? lastId;
        if (isLast(event)) return;
      }
      if (await isOver()) return;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPatient || !isTransient(error) || performance.now() - lastEventAt > patienceMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function parseEvent<E>(http: Http, schema: ZodType<E>, text: string): E {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw answerUnknown(http.url, 'the request for events', (error as Error).message);
  }
}

async function jobHasEnded(http: Http, id: number, signal: AbortSignal | undefined): Promise<boolean> {
  const response = await http.send({ method: 'GET', path: `/api/jobs/${id}`, signal });
  const { state } = (await response.json()) as { state: never };
  return hasEnded(state);
}

const lasting = ['answer_unknown', 'certificate_untrusted', 'scheme_wrong'];

/** Whether an error of the network or of the instance may pass, so that the request can be repeated. */
function isTransient(error: unknown): boolean {
  const { code, status } = factsOf(error);
  if (lasting.includes(code)) return false;
  return status === undefined || status >= 500;
}
