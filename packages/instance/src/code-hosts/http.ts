import { type Clock, collect, FumehoodError, openFetch } from '@fumehood/base';
import type * as z from 'zod';
import {
  hostAnswerInvalid,
  hostRateLimited,
  hostRefused,
  hostTokenRefused,
  hostUnavailable,
} from './errors.ts';
import { limitedUntil } from './rate-limit.ts';

/** Longest request, milliseconds. */
const requestMs = 30_000;
/** Bytes of an answer that are read. A page of a hundred pull requests of GitHub has some 2 MB. */
const answerMax = 16 * 2 ** 20;
/** Characters of what a host says of its refusal that are shown. */
const shownMax = 500;

/** A request to the API of a code host. */
export interface HostRequest<T> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  /** Below the URL of the API. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly answer: z.ZodType<T>;
  /** Whether null is returned, too, if the token may not have it. */
  readonly optional?: boolean;
}

/** Sends a request and returns what the host answers; null: there is no such thing (404). Errors: those of `CodeHost`. */
export type HostHttp = <T>(request: HostRequest<T>) => Promise<T | null>;

/** The API of a code host, and what is remembered of its limits. */
export interface HostAccess {
  /** The name of the code host, for errors. */
  readonly name: string;
  /** Of the API. */
  readonly url: string;
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds since 1970: the host has asked for no requests before. */
  readonly limitedUntil: number | null;
  /** Is told when the host asks for no requests before a time, milliseconds since 1970. */
  readonly onLimited: (until: number) => Promise<void>;
}

/** Returns a function that sends requests to a code host, to no other server: redirects are not followed. */
export function openHost(access: HostAccess): HostHttp {
  const { name, url, headers, clock, onLimited } = access;
  const send = openFetch(url);
  let pausedUntil = access.limitedUntil ?? 0;
  return async ({ method, path, query = {}, body, answer, optional = false }) => {
    if (pausedUntil > clock.now()) throw hostRateLimited(name, pausedUntil);
    const search = Object.entries(query).map((pair) => pair.map(encodeURIComponent).join('='));
    const [response, bytes] = await exchange().catch((error: unknown) => {
      throw error instanceof FumehoodError && error.code === 'too_big'
        ? hostAnswerInvalid(name, `it has more than ${answerMax} bytes`)
        : hostUnavailable(name, whyOf(error));
    });
    async function exchange() {
      const answered = await send({
        ...{ method, path: search.length === 0 ? path : `${path}?${search.join('&')}` },
        headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(requestMs),
      });
      return [answered, await collect(answered.body ?? empty(), answerMax)] as const;
    }
    const { status } = response;
    const said = () => saidOf(status, bytes);
    const until = limitedUntil({ status, header: (one) => response.headers.get(one), said }, clock.now());
    if (until !== null) {
      pausedUntil = until;
      await onLimited(until);
      if (!response.ok) throw hostRateLimited(name, until);
    }
    if (status === 404 || (optional && status === 403)) return null;
    if (status === 401 || status === 403) throw hostTokenRefused(name, said());
    if (status >= 500) throw hostUnavailable(name, said());
    if (status >= 300 && status < 400)
      throw hostRefused(
        name,
        `it sends ${path} to ${(response.headers.get('location') ?? 'another place').slice(0, shownMax)}`,
      );
    if (!response.ok) throw hostRefused(name, said());
    return parse(answer, bytes, (why) => hostAnswerInvalid(name, `${method} ${path}: ${why}`));
  };
}

function parse<T>(schema: z.ZodType<T>, bytes: Buffer, invalid: (why: string) => FumehoodError): T {
  let json: unknown;
  try {
    if (bytes.length > 0) json = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalid('it is no JSON');
  }
  const { success, data, error } = schema.safeParse(json);
  if (success) return data;
  const issue = error.issues[0];
  throw invalid(`${issue?.path.join('.')}: ${issue?.message}`);
}

/** Returns what a host says of an answer that is no success: its status, and the message that it has in some form or other. */
function saidOf(status: number, bytes: Buffer): string {
  let said: string[] = [];
  try {
    const { message, errors, error } = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    said = [message, error, errors]
      .filter(Boolean)
      .map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
  } catch {
    // Not JSON, or null: a page of a proxy says nothing of use.
  }
  return [status, ...said].join(', ').slice(0, shownMax);
}

function whyOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return `it has not answered in ${requestMs / 1_000} s`;
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : message;
}

async function* empty(): AsyncGenerator<Uint8Array> {}
