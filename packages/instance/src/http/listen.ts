import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { TlsConfig } from '../config.ts';
import { portInUse } from '../start-errors.ts';
import { listenTls, type TlsServer } from './tls.ts';

export interface Listening {
  /** The port on loopback. */
  readonly port: number;
  /** The port of the TLS address; null without one. */
  readonly tlsPort: number | null;
  /** Closes idle connections, gives running requests some time, and closes their connections then. */
  close: () => Promise<void>;
}

/**
 * Listens on loopback without TLS, and with TLS on the configured address, if there is one. No other machine can reach the instance
 * without TLS. Errors: `port_in_use`, `tls_unusable`, `listen_failed`; the app is closed then.
 */
export async function listenHttp(
  app: FastifyInstance,
  config: { readonly port: number; readonly tls: TlsConfig | null },
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<Listening> {
  let tls: TlsServer | null = null;
  try {
    await app.listen({ host: '127.0.0.1', port: config.port });
    if (config.tls) tls = await listenTls(app, config.tls, deps);
  } catch (error) {
    await app.close();
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? portInUse(config.port) : error;
  }
  const stopping = new AbortController();
  const following = tls?.follow(stopping.signal);
  return {
    port: portOf(app.server),
    tlsPort: tls && portOf(tls.server),
    async close() {
      stopping.abort();
      await following;
      await closeServers(app, tls ? [tls.server] : [], deps.clock);
    },
  };
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
