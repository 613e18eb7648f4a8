import { type Clock, factsOf } from '@fumehood/base';
import {
  executorNameHeader,
  inputEndHeader,
  type Job,
  jobIdHeader,
  type JobResultRequest,
  type QueueName,
} from '@fumehood/protocol';
import { z } from 'zod';
import { instanceRefused, instanceUnreachable, leaseLost } from '../errors.ts';
import { expectStatus, type Http, type HttpRequest, reasonOf } from './http.ts';
import type { EntryEnd, EntryFacts, EntryText, OutputStream } from './log-entry.ts';
import { type Redactions, redact } from './redact.ts';
import { retrying, within } from './retry.ts';

/** The routes of one job: everything that leaves the executor for it goes through here, under the job's token. */
export interface JobClient {
  /** Values that the job wants hidden, and what is shown in their place. Messages of marks are sent without them. */
  readonly redactions: Redactions;
  /** Whether the instance leased this job natively. One of upstream's kind takes no output by offset, and its tokens outlive leases. */
  readonly native: boolean;
  /** The number of the new entry. Asked once of an instance of upstream's kind, where it would add another. */
  addEntry(facts: EntryFacts): Promise<number>;
  updateEntry(entry: number, facts: EntryFacts, state: EntryText | EntryEnd): Promise<void>;
  append(entry: number, stream: OutputStream, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Bytes of the job's stdin from `offset`; waits for the first of them. */
  input(offset: number, signal: AbortSignal): Promise<{ bytes: Buffer; end: boolean }>;
  /** A request under the job's token, as it is answered. Errors: `lease_lost` where the token is not known any more. */
  open(request: Omit<HttpRequest, 'signal'> & { signal?: AbortSignal }): Promise<Response>;
  blobPath(digest: string): string;
  /** Nothing for an instance of upstream's kind, which has no place for it. */
  result(facts: Omit<JobResultRequest, 'executorName' | 'jobId'>): Promise<void>;
  complete(): Promise<void>;
  errored(message: string, reason: string): Promise<void>;
  failed(message: string, reason: string): Promise<void>;
}

/** For an answer on a job's routes, blobs and uploads apart. An upstream instance is sent a step's whole output at once. */
const answerMs = 60_000;
const inputWaitMs = 20_000;
const messageMax = 100_000;
const markWhat = 'say how the job ended';

/** `lease` bounds every repetition: once it is over, nothing of the job is written any more. */
export function openJob(
  http: Http,
  job: Pick<Job, 'id' | 'token' | 'fumehood' | 'redactedValues'> & { readonly queue: QueueName },
  executorName: string,
  clock: Clock,
  lease: AbortSignal,
): JobClient {
  const native = job.fumehood !== undefined;
  const redactions = job.redactedValues ?? {};
  let entries = 0;
  const base = `/.executors/queue/${job.queue}`;
  const own = { executorName, jobId: job.id };
  const identity = {
    authorization: `Bearer ${job.token}`,
    [jobIdHeader]: String(job.id),
    [executorNameHeader]: executorName,
  };
  const open: JobClient['open'] = async (request) => {
    const response = await http({
      ...request,
      headers: { ...identity, ...request.headers },
      signal: request.signal ?? lease,
    });
    // By the instance's clock the lease may be over before it is by ours. That says nothing of the job: it is not to fail by it.
    if (response.status !== 401) return response;
    await response.body?.cancel();
    throw leaseLost('the instance does not know its token any more');
  };
  /** The answer's text, in time. */
  const ask = (request: Omit<HttpRequest, 'signal'>, good: readonly number[]) =>
    within(clock, answerMs, request.what, async (late) =>
      expectStatus(await open({ ...request, signal: AbortSignal.any([lease, late]) }), good, request.what),
    );
  const post = (operation: string, body: object, what: string, good = [200, 204]) =>
    ask(
      {
        method: 'POST',
        path: `${base}/${operation}`,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...own, ...body }),
        what,
      },
      good,
    );
  const markHere = (operation: string, body: object) =>
    retrying(clock, lease, async (tries) => {
      // A mark whose answer was lost has ended the lease: repeated, it finds no job.
      const good = tries > 1 ? [200, 204, 404] : [200, 204];
      await post(operation, body, markWhat, good).catch((error: unknown) => {
        if (tries === 1 || factsOf(error).code !== 'lease_lost') throw error;
      });
    });
  /** Once, and without our reason: whether a lost answer was a yes, an instance of upstream's kind cannot say. */
  const markUpstream = async (operation: string, body: object) => {
    const text = await post(operation, body, markWhat, [204, 404]);
    if (text !== '') throw leaseLost('the instance does not take its end');
  };
  const mark = native ? markHere : markUpstream;
  const end = (message: string, reason: string) => ({
    errorMessage: redact(message, redactions).slice(0, messageMax),
    ...(native && { reason: reason.slice(0, 100) }),
  });
  return {
    redactions,
    native,
    open,
    blobPath: (digest) => `${base}/blob/${digest}`,
    async addEntry(facts) {
      const what = 'begin a log entry';
      const add = (body: object) => post('addExecutionLogEntry', body, what, [200]);
      entries += 1;
      const numbered = { ...facts, fumehood: { entry: entries } };
      const text = await (native ? retrying(clock, lease, () => add(numbered)) : add(facts));
      const entry = z.int().positive().safeParse(Number(text));
      if (!entry.success) throw instanceRefused(what, 200, 'its answer is no number');
      return entry.data;
    },
    async updateEntry(entryId, facts, state) {
      await retrying(clock, lease, () =>
        post('updateExecutionLogEntry', { entryId, ...facts, ...state }, 'update a log entry'),
      );
    },
    async append(entry, stream, offset, bytes) {
      const request: Omit<HttpRequest, 'signal'> = {
        method: 'POST',
        path: `${base}/appendLog?entry=${entry}&stream=${stream}&offset=${offset}`,
        headers: { 'content-type': 'application/octet-stream' },
        body: bytes,
        what: 'append output',
      };
      await retrying(clock, lease, () => ask(request, [200]));
    },
    input: (offset, signal) =>
      retrying(clock, signal, () => {
        const what = "read the job's input";
        return within(clock, inputWaitMs + answerMs, what, async (late) => {
          const either = AbortSignal.any([signal, late]);
          const response = await open({
            method: 'GET',
            path: `${base}/input?offset=${offset}&waitMs=${inputWaitMs}`,
            headers: {},
            signal: either,
            what,
          });
          if (response.status !== 200) await expectStatus(response, [200], what);
          const bytes = await response.arrayBuffer().catch((error: unknown) => {
            either.throwIfAborted();
            throw instanceUnreachable(what, reasonOf(error));
          });
          return { bytes: Buffer.from(bytes), end: response.headers.get(inputEndHeader) === 'true' };
        });
      }),
    async result(facts) {
      if (native) await retrying(clock, lease, () => post('result', facts, "send the job's result"));
    },
    complete: () => mark('markComplete', {}),
    errored: (message, reason) => mark('markErrored', end(message, reason)),
    failed: (message, reason) => mark('markFailed', end(message, reason)),
  };
}
