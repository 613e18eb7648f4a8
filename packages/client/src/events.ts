import { factsOf, readEvents } from '@fumehood/base';
import { hasEnded, type JobEvent, jobEventSchema } from '@fumehood/protocol';
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
 * Yields each past and, with `follow`, each future event of a job once, until the job ends. If the stream breaks, the client resumes it after the last
 * event. Errors: `job_not_found`, `answer_unknown`, `instance_unreachable` if the instance is away for a minute.
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
  let lastId: string | null = null;
  let lastEventAt = performance.now();
  for (;;) {
    try {
      const response = await http.send({
        method: 'GET',
        path: `/api/jobs/${id}/events${query.size > 0 ? `?${query.toString()}` : ''}`,
        headers: { accept: 'text/event-stream', ...(lastId !== null && { 'last-event-id': lastId }) },
        signal,
      });
      if (!response.body) return;
      for await (const event of readEvents(response.body, eventMax)) {
        lastEventAt = performance.now();
        const jobEvent = parseEvent(http, event.data);
        yield jobEvent;
        lastId = event.id ?? lastId;
        if (jobEvent.type === 'job' && hasEnded(jobEvent.job.state)) return;
      }
      if (!follow) return;
      // The stream ended before the job: the instance is stopping, or the job had ended before the last event id.
      if (await jobHasEnded(http, id, signal)) return;
    } catch (error) {
      signal?.throwIfAborted();
      if (!follow || !isTransient(error) || performance.now() - lastEventAt > patienceMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function parseEvent(http: Http, text: string): JobEvent {
  try {
    return jobEventSchema.parse(JSON.parse(text));
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
