import type { Readable } from 'node:stream';
import { type Answer, type Clock, factsOf } from '@fumehood/base';
import {
  executorNameHeader,
  inputEndHeader,
  type Job,
  jobIdHeader,
  type JobResultRequest,
  type NextStep,
  type NextStepRequest,
  nextStepSchema,
  type QueueName,
  type ReceiptsRequest,
  stepDiffSchema,
  storableText,
} from '@fumehood/protocol';
import * as z from 'zod';
import { instanceRefused, leaseLost } from '../errors.ts';
import { expectStatus, type Http, type HttpRequest, parseAnswer, readBytes } from './http.ts';
import type { EntryEnd, EntryFacts, EntryText, OutputStream } from './log-entry.ts';
import { type Redactions, redact } from './redact.ts';
import { retryWhileUnreachable, withTimeout } from './retry.ts';

/** The routes of one job. Every request about the job is sent through them, under the job's token. */
export interface JobClient {
  /** The replacements of the values that the job wants hidden. `errored` and `failed` apply them to their messages. */
  readonly redactions: Redactions;
  /**
   * Whether the instance leased this job by the native protocol. An instance of upstream's kind does not take output by offset,
   * and its job tokens outlive leases.
   */
  readonly native: boolean;
  /**
   * Adds a log entry and resolves with its number. Not retried with an instance of upstream's kind, which would add another
   * entry.
   */
  addEntry(facts: EntryFacts): Promise<number>;
  /** Sends the text or the end of an entry. Retried: the request is idempotent. */
  updateEntry(entry: number, facts: EntryFacts, state: EntryText | EntryEnd): Promise<void>;
  /** Appends output at its offset. Retried: the instance keeps each byte once. */
  append(entry: number, stream: OutputStream, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Resolves with bytes of the job's stdin from `offset` on, once there are some, or with `end`. */
  input(offset: number, signal: AbortSignal): Promise<{ bytes: Buffer; end: boolean }>;
  /** Sends one request under the job's token. Errors: `lease_lost` for 401, and those of `Http`. */
  open(request: Omit<HttpRequest, 'signal'> & { signal?: AbortSignal }): Promise<Answer>;
  /** Sends what the job brings back from a path, as often as `open` has to give the bytes anew. */
  artifact(path: string, open: () => Readable, bytes: number, signal: AbortSignal): Promise<void>;
  /** Returns the path of a blob on the instance, for `open`. */
  blobPath(digest: string): string;
  /**
   * Sends receipts, until `signal` is aborted. Retried: the request is idempotent. Errors: `instance_refused` from an instance that does not take
   * them.
   */
  receipts(batch: Omit<ReceiptsRequest, 'executorName' | 'jobId'>, signal: AbortSignal): Promise<void>;
  /** Reports the end of a step of a batch job, and asks for the next one. Retried: the request is idempotent. */
  nextStep(done: NextStepRequest['done'], signal: AbortSignal): Promise<NextStep>;
  /** Sends the diff of a step, as often as `open` has to give the bytes anew, and resolves with its digest. */
  stepDiff(step: number, open: () => Readable, bytes: number, signal: AbortSignal): Promise<string>;
  /** Hides more values from now on: in log entries that are opened later, and in messages. */
  hide(values: Redactions): void;
  /** Sends what the run measured. Does nothing with an instance of upstream's kind, which has no route for it. */
  result(facts: Omit<JobResultRequest, 'executorName' | 'jobId'>): Promise<void>;
  /** Marks the job as completed. Errors of this and of the other marks: `lease_lost`, `instance_…`. */
  complete(): Promise<void>;
  /** Marks the job as errored: another attempt may succeed. `reason` is the code of the error. */
  errored(message: string, reason: string): Promise<void>;
  /** Marks the job as failed for good. */
  failed(message: string, reason: string): Promise<void>;
}

/**
 * Time for an answer on a job's routes, in ms; blobs, repositories and uploads take as long as they need. It is long because an
 * upstream instance gets the whole output of a step in one request.
 */
const answerMs = 60_000;
/** Time that the instance may wait for more stdin, in ms. */
const inputWaitMs = 20_000;
/** Characters of an error message that are sent. */
const messageMax = 100_000;
/** Characters of a failure's reason that are sent. */
const reasonMax = 100;
const markAction = "report the job's end";

/** Opens the routes of a job. Once `lease` is aborted, no request is sent or repeated. */
export function openJobClient(
  http: Http,
  job: Pick<Job, 'id' | 'token' | 'fumehood' | 'redactedValues'> & { readonly queue: QueueName },
  executorName: string,
  clock: Clock,
  lease: AbortSignal,
): JobClient {
  const native = job.fumehood !== undefined;
  const redactions = { ...job.redactedValues };
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
    // The lease may end by the instance's clock before it ends by ours. The job did not fail then: another attempt follows.
    if (response.status !== 401) return response;
    await response.body?.cancel();
    throw leaseLost('the instance does not know the token of the job any more');
  };
  const send = (request: Omit<HttpRequest, 'signal'>, expected: readonly number[], signal = lease) =>
    withTimeout(clock, answerMs, request.action, async (timeout) =>
      expectStatus(
        await open({ ...request, signal: AbortSignal.any([lease, timeout, signal]) }),
        expected,
        request.action,
      ),
    );
  const post = (
    operation: string,
    body: object,
    action: string,
    { expected = [200, 204], signal = lease } = {},
  ) =>
    send(
      {
        method: 'POST',
        path: `${base}/${operation}`,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...own, ...body }),
        action,
      },
      expected,
      signal,
    );
  const markNative = (operation: string, body: object) =>
    retryWhileUnreachable(clock, lease, async (tries) => {
      // If the answer to the first mark was lost, the mark has ended the lease, and its repetition is answered "unknown job".
      const expected = tries > 1 ? [200, 204, 404] : [200, 204];
      await post(operation, body, markAction, { expected }).catch((error: unknown) => {
        if (tries === 1 || factsOf(error).code !== 'lease_lost') throw error;
      });
    });
  /** Marks once: an instance of upstream's kind cannot tell whether a mark with a lost answer was accepted. */
  const markUpstream = async (operation: string, body: object) => {
    const text = await post(operation, body, markAction, { expected: [204, 404] });
    if (text !== '') throw leaseLost('the instance did not accept the end of the job');
  };
  const mark = native ? markNative : markUpstream;
  const end = (message: string, reason: string) => ({
    // An instance whose database cannot store the text would refuse the mark each time, and the job would never end.
    errorMessage: storableText(redact(message, redactions).slice(0, messageMax)),
    ...(native && { reason: reason.slice(0, reasonMax) }),
  });
  return {
    redactions,
    native,
    open,
    blobPath: (digest) => `${base}/blob/${digest}`,
    async addEntry(facts) {
      const action = 'begin a log entry';
      const add = (body: object) => post('addExecutionLogEntry', body, action, { expected: [200] });
      entries += 1;
      const numbered = { ...facts, fumehood: { entry: entries } };
      const text = await (native ? retryWhileUnreachable(clock, lease, () => add(numbered)) : add(facts));
      const entry = z.int().positive().safeParse(Number(text));
      if (!entry.success) throw instanceRefused(action, 200, 'the answer is not a number');
      return entry.data;
    },
    async updateEntry(entryId, facts, state) {
      await retryWhileUnreachable(clock, lease, () =>
        post('updateExecutionLogEntry', { entryId, ...facts, ...state }, 'update a log entry'),
      );
    },
    async append(entry, stream, offset, bytes) {
      const request: Omit<HttpRequest, 'signal'> = {
        method: 'POST',
        path: `${base}/appendLog?entry=${entry}&stream=${stream}&offset=${offset}`,
        headers: { 'content-type': 'application/octet-stream' },
        body: bytes,
        action: 'append output',
      };
      await retryWhileUnreachable(clock, lease, () => send(request, [200]));
    },
    input: (offset, signal) =>
      retryWhileUnreachable(clock, signal, () => {
        const action = "read the job's input";
        return withTimeout(clock, inputWaitMs + answerMs, action, async (timeout) => {
          const either = AbortSignal.any([signal, timeout]);
          const response = await open({
            method: 'GET',
            path: `${base}/input?offset=${offset}&waitMs=${inputWaitMs}`,
            headers: {},
            signal: either,
            action,
          });
          if (response.status !== 200) await expectStatus(response, [200], action);
          const bytes = await readBytes(response, action).catch((error: unknown) => {
            either.throwIfAborted();
            throw error;
          });
          return { bytes, end: response.headers.get(inputEndHeader) === 'true' };
        });
      }),
    async artifact(path, content, bytes, signal) {
      const action = 'send what the job brings back';
      await retryWhileUnreachable(clock, signal, async () => {
        const response = await open({
          method: 'POST',
          path: `${base}/artifact?path=${encodeURIComponent(path)}`,
          headers: { 'content-type': 'application/x-tar', 'content-length': String(bytes) },
          body: content(),
          signal,
          action,
        });
        await expectStatus(response, [204], action);
      });
    },
    async receipts(batch, signal) {
      await retryWhileUnreachable(clock, signal, () => post('receipts', batch, 'send receipts', { signal }));
    },
    nextStep: (done, signal) =>
      retryWhileUnreachable(clock, signal, async () => {
        const action = 'ask for the next step';
        return parseAnswer(nextStepSchema, await post('nextStep', { done }, action, { signal }), action);
      }),
    async stepDiff(step, content, bytes, signal) {
      const action = 'send the diff of a step';
      return await retryWhileUnreachable(clock, signal, async () => {
        const response = await open({
          method: 'POST',
          path: `${base}/stepDiff?step=${step}`,
          headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytes) },
          body: content(),
          signal,
          action,
        });
        return parseAnswer(stepDiffSchema, await expectStatus(response, [200], action), action).digest;
      });
    },
    hide: (values) => void Object.assign(redactions, values),
    async result(facts) {
      if (native)
        await retryWhileUnreachable(clock, lease, () => post('result', facts, "send the job's result"));
    },
    complete: () => mark('markComplete', {}),
    errored: (message, reason) => mark('markErrored', end(message, reason)),
    failed: (message, reason) => mark('markFailed', end(message, reason)),
  };
}
