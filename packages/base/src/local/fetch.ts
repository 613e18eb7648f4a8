import type { IncomingMessage } from 'node:http';
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

/**
 * The answer to a request: the part of a `Response` that is used. `Response` itself, which Node loads with all of `fetch`, costs a
 * command 50 ms.
 */
export interface Answer {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: { get(name: string): string | null };
  /** `cancel` ends the connection of a body that nobody reads. */
  readonly body: (AsyncIterable<Uint8Array<ArrayBuffer>> & { cancel(): Promise<void> }) | null;
  text(): Promise<string>;
  json(): Promise<unknown>;
}

/** Sends a request and resolves with the answer, as `fetch` does. Does not follow redirects. */
export type Fetch = (request: FetchRequest) => Promise<Answer>;

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
async function fetchFromSocket(socket: string, request: FetchRequest): Promise<Answer> {
  const { method, path, headers, body, signal } = request;
  const socketPath = provenSocket(socket);
  signal?.throwIfAborted();
  return await new Promise<Answer>((resolve, reject) => {
    const options = { socketPath, path, method, headers: { host: 'localhost', ...headers }, agent: false };
    const sent = httpRequest({ ...options, ...(signal && { signal }) });
    sent.on('error', reject);
    sent.once('response', (message) => resolve(answerOf(message, method)));
    // An answer may come before the body was read: what happens to the rest of the body is no error then.
    if (body instanceof Readable) pipeline(body, sent, (error) => error && reject(error));
    else sent.end(body);
  });
}

function answerOf(message: IncomingMessage, method: string): Answer {
  const status = message.statusCode ?? 500;
  const isEmpty = method === 'HEAD' || status === 204 || status === 304;
  if (isEmpty) message.resume();
  const chunks = message as AsyncIterable<Uint8Array<ArrayBuffer>>;
  const text = async () => {
    let read = '';
    const decoder = new TextDecoder();
    if (!isEmpty) for await (const chunk of chunks) read += decoder.decode(chunk, { stream: true });
    return read + decoder.decode();
  };
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: { get: (name) => [message.headers[name.toLowerCase()] ?? null].flat().join(', ') || null },
    body: isEmpty
      ? null
      : {
          [Symbol.asyncIterator]: () => chunks[Symbol.asyncIterator](),
          cancel: async () => void message.destroy(),
        },
    text,
    json: async () => JSON.parse(await text()) as unknown,
  };
}
