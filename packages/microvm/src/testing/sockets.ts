import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import type { GuestSockets } from '../vm/spec.ts';
import { guestSocketNames } from '../vm/spec.ts';

/** Returns the two ends of a connection that needs neither a file nor a port. */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer();
  const name = `\0fumehood-test-${randomUUID()}`;
  await once(server.listen(name), 'listening');
  const near = connect(name);
  const [far] = (await once(server, 'connection')) as [Socket];
  server.close();
  far.on('error', () => {}); // tests look at what arrives
  return [near, far];
}

/** Returns the host's ends of a VM's streams, and the VM's ends. */
export async function vmSockets(): Promise<{ readonly host: GuestSockets; readonly vm: GuestSockets }> {
  const pairs = await Promise.all(guestSocketNames.map(async (name) => [name, await socketPair()] as const));
  const ends = (at: 0 | 1) => Object.fromEntries(pairs.map(([name, pair]) => [name, pair[at]]));
  return { host: ends(0) as unknown as GuestSockets, vm: ends(1) as unknown as GuestSockets };
}
