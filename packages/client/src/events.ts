import { factsOf, readEvents } from '@fumehood/base';
import { hasEnded, type JobEvent, jobEventSchema } from '@fumehood/protocol';
import { answerUnknown } from './errors.ts';
import type { Http } from './http.ts';

/** How long an instance that went away (a restart) is waited for before its absence is an error. */
const patienceMs = 60_000;
const pauseMs = 500;
/** Longest event that is taken, characters: a job's output comes in parts of at most 1 MiB, as base64. */
const eventMax = 4 * 2 ** 20;

/**
 * What happened to a job and what happens to it, each event once, until it has ended. A stream that breaks is resumed where it
 * broke. Errors: `job_not_found`, `instance_unreachable` once the instance has been away for a minute.
 */
export async function* jobEvents(
  http: Http,
  id: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobEvent> {
  let last: string | null = null;
  let goodAt = performance.now();
  for (;;) {
    try {
      const response = await http.send({
        method: 'GET',
        path: `/api/jobs/${id}/events`,
        headers: { accept: 'text/event-stream', ...(last !== null && { 'last-event-id': last }) },
        signal,
      });
      if (!response.body) return;
      for await (const event of readEvents(response.body, eventMax)) {
        goodAt = performance.now();
        const body = parse(http, event.data);
        yield body;
        last = event.id ?? last;
        if (body.type === 'job' && hasEnded(body.job.state)) return;
      }
      // Ended without the job's end: the instance is going down, or the end was seen before.
      if (await ended(http, id, signal)) return;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isTransient(error) || performance.now() - goodAt > patienceMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function parse(http: Http, text: string): JobEvent {
  try {
    return jobEventSchema.parse(JSON.parse(text));
  } catch (error) {
    throw answerUnknown(http.url, 'its events', (error as Error).message);
  }
}

async function ended(http: Http, id: number, signal: AbortSignal | undefined): Promise<boolean> {
  const response = await http.send({ method: 'GET', path: `/api/jobs/${id}`, signal });
  const { state } = (await response.json()) as { state: never };
  return hasEnded(state);
}

/** The network's errors, and the instance's own trouble. */
function isTransient(error: unknown): boolean {
  const { code, status } = factsOf(error);
  if (code === 'answer_unknown') return false;
  return status === undefined || status >= 500;
}
