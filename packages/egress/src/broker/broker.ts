import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '@fumehood/base';
import type { BrokerGrant, Receipt, Refusal } from '@fumehood/protocol';
import { abort, type Meter } from '../meter.ts';
import { answerOf, type Count, countingStream, requestHeaders } from './answer.ts';
import { whyRefused } from './check.ts';
import { replacingStream } from './replace.ts';
import { type Target, targetsOf } from './targets.ts';
import { openUpstream, Refused, type UpstreamDeps } from './upstream.ts';

/** The broker of one guest. */
export interface Broker {
  /** The names by which the guest finds it. */
  readonly names: ReadonlySet<string>;
  /** Serves a connection of the guest. */
  serve(socket: Socket): { end(): void; readonly ended: Promise<void> };
  /** Resolves after the last receipt, once the connections of the guest have ended. */
  close(): Promise<void>;
}

interface BrokerDeps extends UpstreamDeps {
  readonly clock: Pick<Clock, 'now'>;
  /** What the guest may move, with its other connections. */
  readonly meter: Meter;
  readonly onReceipt: (receipt: Receipt) => void;
}

/** Most requests of a guest, and the size of one: the fields, and the body. */
const requestsMax = 50_000;
const headerBytesMax = 16_384;
const bodyBytesMax = 8 * 2 ** 20;
/** How long a request may take to come, a whole exchange, and a connection without anything that moves, ms. */
const headMs = 30_000;
const exchangeMs = 900_000;
const idleMs = 120_000;
const keepAliveMs = 20_000;
/** Longest rule of a receipt, characters. */
const ruleMax = 300;

/**
 * Serves the entries of a job to its guest over plain HTTP, each at a name of its own, with the paths that the server of the entry has. It adds
 * the credential, and sends on only what it knows: no field, path or method that the entry does not have.
 */
export function openBroker(grants: readonly BrokerGrant[], deps: BrokerDeps): Broker {
  const { clock, meter, onReceipt } = deps;
  const targets = targetsOf(grants);
  const upstream = openUpstream(deps);
  /** The guest's connections: whether a request is being answered, and the timer of the next one. */
  const connections = new Map<Socket, { isBusy: boolean; timer: NodeJS.Timeout }>();
  const exchanges = new Set<Promise<void>>();
  let requests = 0;
  const awaitRequest = (socket: Socket) => {
    const timer = setTimeout(() => socket.destroy(), headMs).unref();
    connections.set(socket, { isBusy: false, timer });
  };

  /** Answers a request that goes to no server. */
  const refuse = (response: ServerResponse, status: number, why: string) => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    response.end(`fumehood: ${why}\n`);
  };
  const receiptOf = (
    target: Target | null,
    at: number,
    rule: string,
  ): Omit<Receipt, 'verdict' | 'reason'> => ({
    ...{ at, kind: 'broker', name: target?.hostname ?? null, address: null, port: target?.port ?? null },
    ...{ serverName: null, sentBytes: 0, receivedBytes: 0 },
    rule: `broker${target ? ` ${target.grant.name}` : ''}: ${rule}`.slice(0, ruleMax),
  });

  const serveRequest = (request: IncomingMessage, response: ServerResponse) => {
    const at = clock.now();
    const { socket, method = '', url = '' } = request;
    request.on('error', () => {}); // the guest is gone
    response.on('error', () => {});
    const target = targets.get(hostOf(request)) ?? null;
    const refused = (status: number, why: string) => {
      onReceipt({ ...receiptOf(target, at, why), verdict: 'refused', reason: 'broker' });
      refuse(response, status, `the broker refused ${method}: ${why}`);
    };
    requests += 1;
    const connection = connections.get(socket);
    if (connection?.isBusy !== false) return refused(400, 'it came before the answer to the one before it');
    clearTimeout(connection.timer);
    connection.isBusy = true;
    response.once('close', () => {
      if (!socket.destroyed) awaitRequest(socket);
    });
    if (requests > requestsMax) return refused(429, `a guest has at most ${requestsMax} requests`);
    if (!target) return refused(403, 'no entry of the job has this name');
    const why = whyFormRefused(request) ?? whyRefused(target, method, url);
    if (why !== null) return refused(403, why);
    const running = exchange(target, request, response, at);
    exchanges.add(running);
    void running.then(() => exchanges.delete(running));
  };

  /** Sends a request on. Repeats one without a body whose connection the server had just closed, as servers do after a while. */
  const ask = async (target: Target, request: IncomingMessage, gone: AbortController, onSent: Count) => {
    const { method = '', url = '' } = request;
    for (let again = false; ; again = true) {
      const asked = upstream.request(target, method, url, requestHeaders(request, target), gone.signal);
      asked.on('error', () => {}); // also after the answer, which is told then
      const answered = once(asked, 'response') as Promise<[IncomingMessage]>;
      if (hasBody(request))
        pipeline(request, countingStream(bodyBytesMax, onSent, gone), asked).catch(() => {}); // `answered` rejects
      else asked.end();
      try {
        return (await answered)[0];
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (again || hasBody(request) || !asked.reusedSocket || code !== 'ECONNRESET') throw error;
      }
    }
  };

  const exchange = async (target: Target, request: IncomingMessage, response: ServerResponse, at: number) => {
    const { socket, method = '', url = '' } = request;
    const [path = ''] = url.split('?');
    const moved = { sentBytes: 0, receivedBytes: 0 };
    const end = (verdict: Receipt['verdict'], rule: string, reason: Refusal | null = null) =>
      onReceipt({ ...receiptOf(target, at, `${method} ${path}: ${rule}`), ...moved, verdict, reason });
    const gone = new AbortController();
    const counter =
      (side: keyof typeof moved): Count =>
      (bytes, goOn) => {
        moved[side] += bytes;
        const isFast = meter.count(bytes, () => {
          if (!gone.signal.aborted) goOn();
        });
        if (meter.isSpent) {
          gone.abort(new Refused(meter.refusal.rule, meter.refusal.reason));
          goOn(gone.signal.reason as Error);
        } else if (isFast) goOn();
      };
    const timer = setTimeout(() => gone.abort(new Error('it took too long')), exchangeMs);
    response.once('close', () => gone.abort(new Error('the guest is gone')));
    try {
      const answer = await ask(target, request, gone, counter('sentBytes'));
      answer.on('error', () => {}); // what reads it is told
      const status = answer.statusCode ?? 502;
      const max = target.grant.responseMaxMiB * 2 ** 20;
      const taken = answerOf(answer, target, targets, path);
      if ('refused' in taken) throw new Refused(taken.refused);
      if (Number(answer.headers['content-length'] ?? 0) > max)
        throw new Refused('it has more bytes than it may have', 'bytes');
      response.writeHead(status, taken.headers);
      const counting = countingStream(max, counter('receivedBytes'), gone);
      await pipeline(answer, counting, replacingStream(taken.replacements), response);
      end('allowed', String(status));
    } catch (error) {
      const why = gone.signal.aborted ? (gone.signal.reason as Error) : (error as Error);
      const reason = why instanceof Refused ? why.reason : null;
      end(reason ? 'refused' : 'failed', why.message, reason);
      if (response.headersSent) socket.destroy();
      else refuse(response, reason ? 403 : 502, `the broker got nothing from ${target.host}: ${why.message}`);
      gone.abort(why);
    } finally {
      clearTimeout(timer);
    }
  };

  const { createServer } = process.getBuiltinModule('node:http');
  const server = createServer(
    { maxHeaderSize: headerBytesMax, requestTimeout: 0, headersTimeout: 0 },
    serveRequest,
  );
  server.timeout = idleMs;
  server.keepAliveTimeout = keepAliveMs;
  server.on('connect', (_request, socket) => {
    onReceipt({
      ...receiptOf(null, clock.now(), 'it connects nobody'),
      verdict: 'refused',
      reason: 'broker',
    });
    socket.end('HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\n\r\n');
  });
  server.on('clientError', (_error, socket) => {
    if (!socket.writable) return;
    onReceipt({
      ...receiptOf(null, clock.now(), 'what came is no request of HTTP'),
      verdict: 'refused',
      reason: 'broker',
    });
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  });
  return {
    names: new Set(targets.keys()),
    serve(socket) {
      const ended = Promise.withResolvers<void>();
      socket.on('error', () => {}); // `close` follows
      socket.once('close', () => {
        clearTimeout(connections.get(socket)?.timer);
        connections.delete(socket);
        ended.resolve();
      });
      awaitRequest(socket);
      server.emit('connection', socket);
      socket.resume();
      return { end: () => abort(socket), ended: ended.promise };
    },
    async close() {
      await Promise.all(exchanges);
      upstream.close();
    },
  };
}

/** Returns the name that a request is for, without a port. A request with two of them is for none. */
function hostOf({ rawHeaders, headers }: IncomingMessage): string {
  const count = rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === 'host').length;
  return count === 1 ? (headers.host ?? '').toLowerCase().replace(/:80$/, '') : '';
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Returns why a request is none that the broker could send on, whatever the entry is. */
function whyFormRefused(request: IncomingMessage): string | null {
  const { method = '', url = '', headers } = request;
  if (!url.startsWith('/')) return 'the path is not one of this host';
  if (headers.upgrade !== undefined) return 'it changes no protocol';
  if (Number(headers['content-length'] ?? 0) > bodyBytesMax) return `it has more than ${bodyBytesMax} bytes`;
  if (hasBody(request) && ['GET', 'HEAD'].includes(method)) return `${method} has no body`;
  return null;
}
