import { once } from 'node:events';
import { isIP, type Socket } from 'node:net';

/** An HTTP proxy on the way to other machines, which is asked to CONNECT. */
export interface HttpProxy {
  /** `http://HOST:PORT` */
  readonly url: string;
  /** Hosts that are reached without it; `.example.com` stands for all its subdomains. Loopback never uses it. */
  readonly except: readonly string[];
}

/** Bytes of the longest answer to CONNECT. */
const answerMax = 16_384;

/** Returns whether connections to `host:port` go through the proxy. */
export function goesThrough({ except }: HttpProxy, host: string, port: number): boolean {
  if (host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)) return false;
  return !except.some((entry) => {
    const name = entry.toLowerCase().replace(/^\*\./, '.');
    if (name === '*' || name === host || name === `${host}:${port}`) return true;
    return name.startsWith('.') && host.endsWith(name);
  });
}

/**
 * Has the proxy connect to `host:port`. `open` connects to the proxy itself. Rejects if the proxy refuses, or for a host that is neither a
 * name nor an address: a program that was taken over may have sent it.
 */
export async function dialThrough(
  { url }: HttpProxy,
  host: string,
  port: number,
  open: (host: string, port: number) => Socket,
): Promise<Socket> {
  if (isIP(host) === 0 && !/^[a-z0-9._-]{1,253}$/i.test(host)) throw new Error('this is no host');
  const proxy = new URL(url);
  const socket = open(proxy.hostname.replace(/^\[(.*)\]$/, '$1'), Number(proxy.port || 80));
  await once(socket, 'connect');
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  let answer = Buffer.alloc(0);
  for (;;) {
    const end = answer.indexOf('\r\n\r\n');
    if (end >= 0) {
      if (!/^HTTP\/1\.[01] 200\b/.test(answer.toString('latin1', 0, end)))
        throw new Error('the proxy refuses the connection');
      if (answer.length > end + 4) socket.unshift(answer.subarray(end + 4));
      return socket;
    }
    if (answer.length > answerMax || socket.readableEnded || socket.destroyed)
      throw new Error('the answer of the proxy is cut off');
    const chunk = socket.read() as Buffer | null;
    if (chunk) answer = Buffer.concat([answer, chunk]);
    else await once(socket, 'readable');
  }
}
