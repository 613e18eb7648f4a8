import { PassThrough, type Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { bodyTooSlow, tooManyBodies } from '../errors.ts';
import { drain } from './drain.ts';
import { bodyLimits, type RequestLimits } from './limits.ts';
import { watchPace } from './pace.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The largest body that the route keeps in memory; null for one that leaves its body as a stream. */
    memoryBytes?: number | null;
  }
}

const decorator = 'holder';

/**
 * Makes the bodies of a server's requests arrive in bounded time, and only after the request has proved a secret. What nobody uses
 * of a body arrives before the answer, or ends soon after it. Errors: `body_too_slow`, `too_many_bodies`.
 */
export function boundBodies(app: FastifyInstance, limits: RequestLimits): void {
  const room = makeRoom(limits.memoryPerHolder);
  app.decorateRequest(decorator);
  app.addHook('preParsing', async (request, reply, payload) => {
    if (request.method === 'GET' || request.method === 'HEAD') return payload;
    const holder = holderOf(request);
    if (request.raw.complete) return payload;
    const { memoryBytes = bodyLimits.api } = request.routeOptions.config;
    if (memoryBytes !== null) {
      const { 'content-length': announced = memoryBytes } = request.headers;
      onClosed(reply, room.take(holder, Math.min(memoryBytes, Number(announced))));
    }
    return paced(payload, reply, limits, limits.bodyMs[memoryBytes === null ? 'file' : 'memory']);
  });
  app.addHook('onSend', async ({ raw }, reply, payload) => {
    reply.removeHeader('connection'); // Fastify would close it at once
    await drain(raw, limits);
    return payload;
  });
  app.addHook('onResponse', async ({ raw }) => {
    if (raw.complete || raw.destroyed) return;
    const timer = setTimeout(() => raw.destroy(), limits.drainMs);
    raw.once('close', () => clearTimeout(timer));
  });
}

/** Says that a request has proved a secret, and which; called before its body is read. */
export function prove(request: FastifyRequest, holder: string): void {
  request.setDecorator<string>(decorator, holder);
}

/** Returns the name of the secret that a request has proved. Throws a `TypeError` if it has proved none. */
export function holderOf(request: FastifyRequest): string {
  const holder = request.getDecorator<string | undefined>(decorator);
  if (holder === undefined)
    throw new TypeError(`${request.method} ${request.url} has proved no secret and would be read`);
  return holder;
}

/** Says what the routes that are added to a scope from now on do with a body; without it they keep one of `bodyLimits.api`. */
export function receive(scope: FastifyInstance, memoryBytes: number | null): void {
  scope.addHook('onRoute', (route) => {
    route.config = { ...route.config, memoryBytes };
  });
}

/** Room in memory for bodies on their way, as much for each holder. `take` returns the function that gives it back. */
function makeRoom(perHolder: number) {
  const held = new Map<string, number>();
  const add = (holder: string, bytes: number) => {
    const sum = (held.get(holder) ?? 0) + bytes;
    if (sum > perHolder) throw tooManyBodies(perHolder);
    if (sum > 0) held.set(holder, sum);
    else held.delete(holder);
  };
  return {
    take(holder: string, bytes: number): () => void {
      add(holder, bytes);
      return () => add(holder, -bytes);
    },
  };
}

/** Returns the stream with an end: it fails when its sender is too slow. The connection stays, so that the error can be answered. */
function paced(body: Readable, reply: FastifyReply, limits: RequestLimits, totalMs: number): Readable {
  const out = new PassThrough();
  out.on('error', () => {}); // the route may not read it
  const pace = watchPace(
    limits,
    totalMs,
    () => out.writableNeedDrain,
    () => {
      body.unpipe(out);
      out.destroy(bodyTooSlow());
    },
  );
  body.on('data', (chunk: Buffer) => pace.moved(chunk.length));
  body.once('error', (error) => out.destroy(error));
  body.once('close', () => {
    if (!body.readableEnded) out.destroy(new Error('the client closed the connection'));
  });
  out.once('close', () => pace.stop());
  onClosed(reply, () => pace.stop());
  return body.pipe(out);
}

function onClosed({ raw }: FastifyReply, run: () => void): void {
  if (raw.closed) run();
  else raw.once('close', run);
}
