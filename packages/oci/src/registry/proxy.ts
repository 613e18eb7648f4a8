import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { connect, createServer, isIP, type Socket } from 'node:net';
import type { FumehoodError } from '@fumehood/base';
import { imageTooBig, registryNotPublic } from '../errors.ts';
import { isPublic } from './addresses.ts';

/** The only way out for a program that fetches an image. */
export interface RegistryProxy {
  /** Why it broke a connection off, if it did: the program only sees that it was. */
  failure(): FumehoodError | null;
  close(): Promise<void>;
}

export interface ProxyRules {
  /** `host:port` of the registries that the operator named. */
  readonly named: ReadonlySet<string>;
  /** Bytes that may come in over all connections together. */
  readonly maxBytes: number;
  /** The addresses of a host. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
}

/** A registry that sends nothing for so long is given up. */
const idleMs = 60_000;
const maxConnections = 64;
const version = 5;
const answers = { granted: 0, notAllowed: 2, unreachable: 4 } as const;

/**
 * A SOCKS 5 proxy (RFC 1928, CONNECT without authentication) on a socket in a directory that is bound into a sandbox. A host is
 * resolved here, once, and the address that was looked at is the one that is dialled: it is public, or the operator named the
 * host. So neither a reference, nor where a registry sends one on to, reaches what only this machine does.
 */
export async function openRegistryProxy(path: string, rules: ProxyRules): Promise<RegistryProxy> {
  const sockets = new Set<Socket>();
  let bytes = 0;
  let failure: FumehoodError | null = null;
  const fail = (error: FumehoodError) => {
    failure ??= error;
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setTimeout(idleMs, () => socket.destroy(new Error('nothing came')));
    socket.on('error', () => socket.destroy()); // the program sees it as the end
    return socket;
  };
  const serve = async (socket: Socket) => {
    const { host, port } = await readRequest(socket);
    const addresses = await allowedAddresses(host, port, rules);
    if (addresses.length === 0) {
      fail(registryNotPublic(`${host}:${port}`));
      socket.end(reply(answers.notAllowed));
      return;
    }
    const onward = await dial(addresses, (address) => keep(connect({ host: address, port })));
    onward.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= rules.maxBytes) return;
      fail(imageTooBig('its registry sends more bytes than its manifest says'));
      for (const one of sockets) one.destroy();
    });
    socket.write(reply(answers.granted));
    socket.pipe(onward).pipe(socket);
    socket.once('close', () => onward.destroy());
    onward.once('close', () => socket.destroySoon());
  };
  const server = createServer((socket) => {
    keep(socket);
    serve(socket).catch(() => socket.end(reply(answers.unreachable)));
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  await chmod(path, 0o660); // the program's uid has our group
  return {
    failure: () => failure,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

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
  if (command !== 1) throw new Error('only connections are made');
  return { host: host.toLowerCase(), port };
}

async function take(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk?.length === bytes) return chunk;
    if (chunk || socket.readableEnded || socket.destroyed) throw new Error('the request breaks off');
    await once(socket, 'readable');
  }
}

/** Those of a host that may be dialled. */
async function allowedAddresses(
  host: string,
  port: number,
  { named, resolve }: ProxyRules,
): Promise<readonly string[]> {
  const addresses = isIP(host) ? [host] : await resolve(host);
  return named.has(`${host}:${port}`) ? addresses : addresses.filter(isPublic);
}

/** The first that answers: a machine without IPv6 may still be told of such addresses. */
async function dial(addresses: readonly string[], open: (address: string) => Socket): Promise<Socket> {
  let last: unknown;
  for (const address of addresses) {
    const socket = open(address);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function reply(answer: number): Buffer {
  return Buffer.from([version, answer, 0, 1, 0, 0, 0, 0, 0, 0]);
}
