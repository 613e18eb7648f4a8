import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { goesThrough, type HttpProxy } from './http-proxy.ts';

/** Where a connection goes. Whoever dials has decided about the name, the addresses and the port. */
export interface Target {
  /** The name that an HTTP proxy is asked for; null: it is asked for the first address. */
  readonly name: string | null;
  /** The addresses that are dialled where no proxy is on the way, in their order. */
  readonly addresses: readonly string[];
  readonly port: number;
}

/** A connection that is being made. */
export interface Dialled {
  readonly socket: Socket;
  /** Resolves when the target can be written to. Rejects when it cannot be reached; the socket is destroyed then. */
  readonly ready: Promise<void>;
}

export type Dial = (target: Target) => Dialled;

/**
 * What both sides of a relayed connection have. A stream that holds less than two reads of 64 KiB stops its source at each of them. Whoever writes
 * twice before it reads would wait for a confirmation of the first write otherwise (Nagle).
 */
export const streamOptions = { allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 } as const;

/** Bytes of the longest answer to CONNECT. */
const answerMax = 16_384;

/** Returns the function that makes every connection to the world: directly, or through the HTTP proxy that is on the way. */
export function openDialer(httpProxy: HttpProxy | null): Dial {
  return (target) => {
    const { name, addresses, port } = target;
    const host = name ?? addresses[0] ?? '';
    const dialled =
      httpProxy && goesThrough(httpProxy, host, port)
        ? dialThrough(httpProxy, host, port)
        : dialDirectly(target);
    dialled.ready.catch(() => {}); // whoever waits for it is told
    return dialled;
  };
}

/** Dials one address after the other. A machine may have addresses of IPv6 that it cannot reach. */
function dialDirectly({ addresses, port }: Target): Dialled {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  const shared = { port, ...streamOptions };
  const [first, ...others] = found;
  const socket =
    first && first.family !== 0 && others.length === 0
      ? connect({ ...shared, host: first.address })
      : connect({
          ...{ ...shared, host: 'target.invalid', autoSelectFamily: true },
          // Nobody is asked: these are the addresses that were checked.
          lookup: (_host, _options, answer) =>
            found.length === 0 ? answer(new Error('it has no address'), []) : answer(null, found),
        });
  socket.on('error', () => {}); // `close` follows
  return { socket, ready: connected(socket) };
}

/** Resolves when the socket is connected. Rejects when it fails or is destroyed before. */
function connected(socket: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve).once('error', reject);
  socket.once('close', () => reject(new Error('the connection was closed')));
  return promise;
}

/**
 * Has the proxy connect to `host:port`. It is refused for a host that is neither a name nor an address: a program that was taken over may have
 * sent it.
 */
function dialThrough({ url }: HttpProxy, host: string, port: number): Dialled {
  const proxy = new URL(url);
  const at = { host: proxy.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(proxy.port || 80) };
  const socket = connect({ ...at, ...streamOptions });
  socket.on('error', () => {}); // `close` follows
  return { socket, ready: askForTunnel(socket, host, port) };
}

async function askForTunnel(socket: Socket, host: string, port: number): Promise<void> {
  try {
    if (isIP(host) === 0 && !/^[a-z0-9._-]{1,253}$/i.test(host)) throw new Error('this is no host');
    await connected(socket);
    const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    // Loaded with the first connection through a proxy: HTTP takes 20 MB of memory.
    const { request } = process.getBuiltinModule('node:http');
    const asked = request({
      ...{ method: 'CONNECT', path: target, headers: { host: target } },
      ...{ createConnection: () => socket, maxHeaderSize: answerMax },
    });
    const answered = once(asked, 'connect') as Promise<[{ statusCode: number }, Socket, Buffer]>;
    asked.end();
    const [{ statusCode }, , head] = await answered;
    if (statusCode !== 200) throw new Error(`the proxy refuses the connection with status ${statusCode}`);
    if (head.length > 0) socket.unshift(head);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
