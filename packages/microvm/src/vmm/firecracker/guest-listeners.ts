import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type GuestSockets, portNames } from '../../vm/spec.ts';

/** The first of the host's ports that a guest dials, one after the other (`FIRST_VSOCK_PORT` in guest/init/ports.c). */
const firstPort = 1024;

/** The host's sockets that a guest dials. */
export interface Listeners {
  /** Resolves when the guest has dialled each of them. Nothing that it sends is read. */
  readonly sockets: Promise<Omit<GuestSockets, 'monitor'>>;
  /** Stops listening, and ends the connections that were made. */
  abandon(): void;
}

/**
 * Listens on `<path>_P` for each port P of a guest. Each socket takes one connection: then it is closed and removed. Only who can enter
 * its directory can connect.
 */
export async function listenForGuest(path: string): Promise<Listeners> {
  const servers: Server[] = [];
  const connections: Socket[] = [];
  const abandon = () => {
    for (const server of servers) server.close();
    for (const socket of connections) socket.destroy();
  };
  const taken = portNames.map(async (name, index) => {
    const server = createServer({ pauseOnConnect: true });
    server.maxConnections = 1;
    servers.push(server);
    server.once('connection', (socket: Socket) => {
      connections.push(socket);
      socket.on('error', () => {}); // the end of the VM reports it
    });
    // The one who connects is another user.
    server.listen({ path: `${path}_${firstPort + index}`, backlog: 1, writableAll: true });
    await once(server, 'listening');
    return [name, firstOf(server)] as const;
  });
  try {
    const listening = await Promise.all(taken);
    const accepted = listening.map(async ([name, socket]) => [name, await socket] as const);
    const sockets = Promise.all(accepted).then(
      (entries) => Object.fromEntries(entries) as unknown as Omit<GuestSockets, 'monitor'>,
    );
    return { sockets, abandon };
  } catch (error) {
    abandon();
    throw error;
  }
}

/** Resolves with the first connection, after which there is no other one. Stays pending if the server is closed before. */
function firstOf(server: Server): Promise<Socket> {
  return new Promise((resolve) => {
    server.once('connection', (socket: Socket) => {
      server.close();
      resolve(socket);
    });
  });
}
