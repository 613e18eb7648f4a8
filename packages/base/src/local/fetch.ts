import { pipeline, Readable } from 'node:stream';
import { provenSocket } from './ownership.ts';

// An import would load all of `fetch` too, which takes every command of the command line 30 ms.
const { request: httpRequest } = process.getBuiltinModule('node:http');

/** A request of `openFetch`. */
export interface FetchRequest {
  readonly method: string;
  /** Below the URL, with the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | Readable | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sends a request and resolves with the answer, as `fetch` does. Does not follow redirects. */
export type Fetch = (request: FetchRequest) => Promise<Response>;

/** Returns the path of a `unix:` URL, or null for another URL. */
export function socketOf(url: string): string | null {
  return url.startsWith('unix:/') ? url.slice('unix:'.length) : null;
}

/**
 * Returns a function that sends requests to one server: `http:`, `https:`, or `unix:` with the path of a socket. A socket has to be
 * proved before each request, because requests carry credentials. Errors: `instance_unproved`, and those of the network.
 */
export function openFetch(url: string): Fetch {
  const base = url.replace(/\/+$/, '');
  const socket = socketOf(base);
  if (socket !== null) return (request) => fetchFromSocket(socket, request);
  return ({ method, path, headers, body, signal }) =>
    fetch(`${base}${path}`, {
      ...{ method, redirect: 'manual', headers },
      ...(body !== undefined && { body: body as never, duplex: 'half' as const }),
      ...(signal && { signal }),
    });
}

/** Each request has a connection of its own, so that none is older than the proof. */
async function fetchFromSocket(socket: string, request: FetchRequest): Promise<Response> {
  const { method, path, headers, body, signal } = request;
  const socketPath = provenSocket(socket);
  signal?.throwIfAborted();
  return await new Promise<Response>((resolve, reject) => {
    const options = { socketPath, path, method, headers: { host: 'localhost', ...headers }, agent: false };
    const sent = httpRequest({ ...options, ...(signal && { signal }) });
    sent.on('error', reject);
    sent.once('response', (answer) => {
      const status = answer.statusCode ?? 500;
      const isEmpty = method === 'HEAD' || status === 204 || status === 304;
      if (isEmpty) answer.resume();
      const content = isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array<ArrayBuffer>>);
      resolve(new Response(content, { status, headers: pairs(answer.rawHeaders) }));
    });
    // An answer may come before the body was read: what happens to the rest of the body is no error then.
    if (body instanceof Readable) pipeline(body, sent, (error) => error && reject(error));
    else sent.end(body);
  });
}

/** Node reports the names and the values of headers in one list. */
function pairs(raw: readonly string[]): [string, string][] {
  return raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ''] as [string, string]] : []));
}
