import type { Readable } from 'node:stream';
import { type Answer, collect, FumehoodError, openFetch } from '@fumehood/base';
import * as z from 'zod';
import { instanceRefused, instanceUnreachable, instanceUntrusted, leaseLost } from '../errors.ts';

/** A request to the instance. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Below the instance's URL, with the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | Readable;
  readonly signal?: AbortSignal | undefined;
  /** What the request is for, in the words of an error message after "to": `renew leases`. */
  readonly action: string;
}

/**
 * Sends one request to the instance. Errors: `instance_unreachable` when there is no answer; `instance_unproved` when it might go to
 * another user of this machine; the signal's reason when aborted.
 */
export type Http = (request: HttpRequest) => Promise<Answer>;

/** Returns a function that sends requests to this instance alone: it does not follow redirects. */
export function openHttp(instanceUrl: string): Http {
  const fetchFrom = openFetch(instanceUrl);
  return async ({ action, ...request }) => {
    try {
      return await fetchFrom(request);
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      if (error instanceof FumehoodError) throw error;
      if (isUntrusted(error)) throw instanceUntrusted(action, causeOf(error));
      throw instanceUnreachable(action, causeOf(error));
    }
  };
}

/** The codes of OpenSSL, and of Node for a certificate with another host name. */
function isUntrusted(error: unknown): boolean {
  return /CERT|UNABLE_TO_VERIFY/.test(innermost(error).code ?? '');
}

/** Returns the message of the innermost cause: `fetch` wraps the error of the connection, and a proxy wraps it once more. */
export function causeOf(error: unknown): string {
  const { message, code } = innermost(error);
  return message || code || (error as Error).message;
}

function innermost(error: unknown): NodeJS.ErrnoException {
  const { cause } = error as Error;
  return cause instanceof Error ? innermost(cause) : (error as Error);
}

/** Bytes of the largest answer that is read at once: 16 MiB. A job with its files comes in one. */
const answerMax = 16 * 2 ** 20;

/** Reads the body of an answer, up to `answerMax`. Errors: `instance_unreachable` when it is longer or is cut off. */
export async function readBytes(response: Answer, action: string): Promise<Buffer> {
  if (!response.body) return Buffer.alloc(0);
  try {
    return await collect(response.body, answerMax);
  } catch (error) {
    throw instanceUnreachable(action, causeOf(error));
  }
}

/** Reads the body of an answer as text. Errors: those of `readBytes`. */
export async function readBody(response: Answer, action: string): Promise<string> {
  return (await readBytes(response, action)).toString('utf8');
}

/**
 * Returns the body of an answer whose status is `expected`. Errors: `lease_lost` when a job's route answers "unknown job",
 * `instance_unreachable` for 408, 429 and 5xx, `instance_refused` for every other status.
 */
export async function expectStatus(
  response: Answer,
  expected: readonly number[],
  action: string,
): Promise<string> {
  const text = await readBody(response, action);
  if (expected.includes(response.status)) return text;
  // Upstream answers 500 when the fence refuses a write.
  if (text.includes('"unknown job"')) throw leaseLost('the instance does not know the job any more');
  if (response.status === 408 || response.status === 429 || response.status >= 500)
    throw instanceUnreachable(action, `${response.status} ${text.slice(0, 200)}`);
  const { error, remedy } = readRefusal(text);
  throw instanceRefused(action, response.status, error, remedy);
}

/** Why a request was refused, as instances of both kinds say it in JSON. */
const refusalSchema = z.object({ error: z.string(), remedy: z.string().optional() });

/** Reads why a request was refused, which may be said in plain text, too. */
function readRefusal(text: string): z.output<typeof refusalSchema> {
  try {
    return refusalSchema.parse(JSON.parse(text));
  } catch {
    return { error: text };
  }
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: { message: string } };
}

/** Parses and validates a JSON answer. Errors: `instance_refused`. */
export function parseAnswer<T>(schema: Schema<T>, text: string, action: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw instanceRefused(action, 200, 'the answer is not JSON');
  }
  const parsed = schema.safeParse(value);
  // The error does not quote the answer, which may hold a job's token.
  if (!parsed.success)
    throw instanceRefused(action, 200, `the answer has an unexpected form: ${parsed.error.message}`);
  return parsed.data;
}
