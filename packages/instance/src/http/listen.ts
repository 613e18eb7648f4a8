import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { PlainConfig, TlsConfig } from '../config.ts';
import { listenFailed } from '../start-errors.ts';
import { headOptions } from './connections.ts';
import type { RequestLimits } from './limits.ts';
import { keepAliveMs, listenTls, type TlsServer } from './tls.ts';

export interface Listening {
  /** The port on loopback. */
  readonly port: number;
  /** The port of the TLS address; null without one. */
  readonly tlsPort: number | null;
  /** Closes idle connections, gives running requests some time, and closes their connections then. */
  close: () => Promise<void>;
}

/** Where an instance listens. */
export interface ListenConfig {
  /** The unix socket, in a directory that the instance's user owns. */
  readonly socket: string;
  /** The port on loopback. If another program has it, the instance takes any free port. */
  readonly port: number;
  readonly tls: TlsConfig | null;
  readonly plain: PlainConfig | null;
}

/**
 * Listens on a unix socket, for the programs of this machine that check who owns it; on loopback without TLS; and with TLS on the
 * configured address, if there is one. Other machines reach the instance without TLS only at the address of a proxy that ends it. Errors: `tls_unusable`,
 * `listen_failed`; the app is closed then.
 */
export async function listenHttp(
  app: FastifyInstance,
  config: ListenConfig,
  deps: { readonly clock: Clock; readonly log: Logger; readonly limits: RequestLimits },
): Promise<Listening> {
  const others: Server[] = [];
  let tls: TlsServer | null = null;
  try {
    await listenOnLoopback(app, config.port, deps.log);
    others.push(await listenOnSocket(app, config.socket, deps.limits));
    if (config.tls) {
      tls = await listenTls(app, config.tls, deps);
      others.push(tls.server);
    }
    if (config.plain) others.push(await listenPlain(app, config.plain, deps.limits));
  } catch (error) {
    for (const server of others) server.close();
    await app.close();
    throw error;
  }
  const stopping = new AbortController();
  const following = tls?.follow(stopping.signal);
  return {
    port: portOf(app.server),
    tlsPort: tls && portOf(tls.server),
    async close() {
      stopping.abort();
      await following;
      await closeServers(app, others, deps.clock);
    },
  };
}

/** A port is not worth a standstill: whoever took it could keep the instance from ever coming back. */
async function listenOnLoopback(app: FastifyInstance, port: number, log: Logger): Promise<void> {
  const host = '127.0.0.1';
  try {
    await app.listen({ host, port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await app.listen({ host, port: 0 });
    log.warn(
      { port, instead: portOf(app.server) },
      'another program has the port; the instance took another one',
    );
  }
}

/** Every user may connect, as on loopback: what a request may do depends on its credential. */
async function listenOnSocket(app: FastifyInstance, path: string, limits: RequestLimits): Promise<Server> {
  const server = createServer(headOptions(limits), (request, response) => app.routing(request, response));
  server.keepAliveTimeout = keepAliveMs;
  rmSync(path, { force: true }); // of an instance that was killed
  await once(server.listen(path), 'listening');
  chmodSync(path, 0o666);
  return server;
}

/** A proxy makes all connections of its clients from one address, so they are not bounded by address. */
async function listenPlain(
  app: FastifyInstance,
  { address, port }: PlainConfig,
  limits: RequestLimits,
): Promise<Server> {
  const server = createServer(headOptions(limits), (request, response) => app.routing(request, response));
  server.keepAliveTimeout = keepAliveMs;
  try {
    await once(server.listen({ host: address, port }), 'listening');
  } catch (error) {
    throw listenFailed(address, port, (error as Error).message);
  }
  return server;
}

const portOf = (server: Pick<Server, 'address'>) => (server.address() as AddressInfo).port;

/** How long closing waits for running requests. */
const closeTimeoutMs = 5_000;

type Closing = Pick<Server, 'close' | 'closeIdleConnections' | 'closeAllConnections'>;

/** Closes idle connections again and again: one whose stream has just ended would stay open for another minute. */
async function closeServers(app: FastifyInstance, others: readonly Closing[], clock: Clock): Promise<void> {
  const closed = new AbortController();
  const ended = others.map((server) => new Promise((resolve) => server.close(resolve)));
  const closing = Promise.all([app.close(), ...ended]).then(() => closed.abort());
  const deadline = clock.bootTime() + closeTimeoutMs;
  while (!closed.signal.aborted) {
    for (const server of [app.server, ...others]) {
      if (clock.bootTime() < deadline) server.closeIdleConnections();
      else server.closeAllConnections();
    }
    await Promise.race([closing, clock.sleep(50)]);
  }
}
