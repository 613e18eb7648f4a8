import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, isIP, type Socket } from 'node:net';
import { type FumehoodError, listenOnSocket } from '@fumehood/base';
import { goesThrough, type HttpProxy, isPublicAddress, openDialer } from '@fumehood/egress';
import { imageTooBig, registryNotPublic } from '../errors.ts';

/** The only network access of a program that fetches an image. */
export interface RegistryProxy {
  /** Returns why the proxy broke off a connection, or null: the program itself only sees that it ended. */
  failure(): FumehoodError | null;
  /** The hosts (`host:port`) to which it has connected. */
  readonly reached: ReadonlySet<string>;
  close(): Promise<void>;
}

/** What a proxy lets through. */
export interface ProxyRules {
  /** `host:port` of the registries that the operator named. */
  readonly named: ReadonlySet<string>;
  /** Bytes that may arrive over all connections together. */
  readonly maxBytes: number;
  /** Resolves a host name to addresses. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** The HTTP proxy on the way to other machines; null: there is none. */
  readonly httpProxy: HttpProxy | null;
  /** Called with the number of bytes that have arrived over all connections so far. */
  readonly onBytes: (bytes: number) => void;
}

/** The proxy closes a connection on which nothing arrives for this long. */
const idleMs = 60_000;
/** Time in which an address has to accept a connection: a mirror that does not answer must leave time for its registry. */
const connectMs = 10_000;
const maxConnections = 64;
const version = 5;
const answers = { granted: 0, notAllowed: 2, unreachable: 4 } as const;

/**
 * Opens a SOCKS 5 proxy (RFC 1928, CONNECT without authentication) on a socket in a directory that is bound into a sandbox. The proxy
 * resolves a host once, checks the addresses, and dials exactly those that it has checked: they are public, or the operator named
 * the host. So neither a reference nor a redirect of a registry reaches what only this machine can reach. Behind an HTTP proxy it asks that for
 * the addresses that it has checked, and for the hosts that the operator named by their names, which this machine need not resolve.
 */
export async function openRegistryProxy(path: string, rules: ProxyRules): Promise<RegistryProxy> {
  const sockets = new Set<Socket>();
  const reached = new Set<string>();
  let bytes = 0;
  let failure: FumehoodError | null = null;
  const dial = openDialer(rules.httpProxy);
  const fail = (error: FumehoodError) => {
    failure ??= error;
  };
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setTimeout(idleMs, () => socket.destroy(new Error('nothing arrived in time')));
    socket.on('error', () => socket.destroy()); // the program sees the end of the connection
    return socket;
  };
  const serve = async (socket: Socket) => {
    const { host, port } = await readRequest(socket);
    const { httpProxy } = rules;
    const proxy = httpProxy !== null && goesThrough(httpProxy, host, port) ? httpProxy : null;
    const isNamed = rules.named.has(`${host}:${port}`);
    const targets = proxy && isNamed ? [host] : await allowedAddresses(host, port, rules);
    if (targets.length === 0) {
      fail(registryNotPublic(`${host}:${port}`));
      socket.end(reply(answers.notAllowed));
      return;
    }
    const outbound = await firstOf(targets, async (target) => {
      const name = isIP(target) === 0 ? target : null;
      const dialled = dial({ name, addresses: name === null ? [target] : [], port });
      track(dialled.socket).setTimeout(connectMs);
      await dialled.ready;
      return dialled.socket;
    });
    outbound.setTimeout(idleMs);
    reached.add(`${host}:${port}`);
    outbound.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      rules.onBytes(bytes);
      if (bytes <= rules.maxBytes) return;
      fail(imageTooBig('its registry sends more bytes than its manifest says'));
      for (const one of sockets) one.destroy();
    });
    socket.write(reply(answers.granted));
    socket.pipe(outbound).pipe(socket);
    socket.once('close', () => outbound.destroy());
    outbound.once('close', () => socket.destroySoon());
  };
  const server = createServer((socket) => {
    track(socket);
    serve(socket).catch(() => socket.end(reply(answers.unreachable)));
  });
  server.maxConnections = maxConnections;
  await listenOnSocket(server, path);
  await chmod(path, 0o660); // the program runs with another uid and our group
  return {
    failure: () => failure,
    reached,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Reads the greeting and the request of a SOCKS client. */
async function readRequest(socket: Socket): Promise<{ host: string; port: number }> {
  const [, methods] = await take(socket, 2);
  await take(socket, methods as number);
  socket.write(Buffer.from([version, 0]));
  const [, command, , kind] = await take(socket, 4);
  let host: string;
  if (kind === 1) host = (await take(socket, 4)).join('.');
  else if (kind === 4) host = ((await take(socket, 16)).toString('hex').match(/.{4}/g) ?? []).join(':');
  else host = (await take(socket, (await take(socket, 1))[0] as number)).toString('latin1');
  const port = (await take(socket, 2)).readUInt16BE();
  if (command !== 1) throw new Error('the proxy supports CONNECT only');
  return { host: host.toLowerCase(), port };
}

/** Reads exactly this many bytes. */
async function take(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk?.length === bytes) return chunk;
    if (chunk || socket.readableEnded || socket.destroyed) throw new Error('the request is cut off');
    await once(socket, 'readable');
  }
}

/** Returns the addresses of a host that the proxy may dial. */
async function allowedAddresses(
  host: string,
  port: number,
  { named, resolve }: ProxyRules,
): Promise<readonly string[]> {
  const addresses = isIP(host) ? [host] : await resolve(host);
  return named.has(`${host}:${port}`) ? addresses : addresses.filter(isPublicAddress);
}

/** Connects to the first target that answers: a machine without IPv6 may still resolve such addresses. */
async function firstOf(
  targets: readonly string[],
  open: (target: string) => Promise<Socket>,
): Promise<Socket> {
  let last: unknown;
  for (const target of targets) {
    try {
      return await open(target);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function reply(answer: number): Buffer {
  return Buffer.from([version, answer, 0, 1, 0, 0, 0, 0, 0, 0]);
}
