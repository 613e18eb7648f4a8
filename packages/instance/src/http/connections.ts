import type { Server, Socket } from 'node:net';
import type { Logger } from 'pino';
import type { RequestLimits } from './limits.ts';

/** Options of every server: the head of a request has to come in time. Bodies have limits of their own (`receive.ts`). */
export const headOptions = ({ headMs }: RequestLimits) => ({
  requestTimeout: 0,
  headersTimeout: headMs,
  connectionsCheckingInterval: headMs / 4,
});

/**
 * Closes the connections of an address beyond the bound, and logs the first one. There is no bound on loopback: all users of this
 * machine share that address, so one of them could lock out the others and the executor.
 */
export function boundConnections(
  server: Server,
  perAddress: number,
  log: Pick<Logger, 'warn'>,
  peerOf: (socket: Socket) => string | null = (socket) => peerAt(socket.remoteAddress),
): void {
  const open = new Map<string, number>();
  const refusing = new Set<string>();
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    if (peer === null) return;
    const count = open.get(peer) ?? 0;
    if (count >= perAddress) {
      socket.destroy();
      if (!refusing.has(peer)) log.warn({ peer, perAddress }, 'an address has too many connections');
      refusing.add(peer);
      return;
    }
    open.set(peer, count + 1);
    socket.once('close', () => {
      const left = (open.get(peer) ?? 0) - 1;
      if (left > 0) open.set(peer, left);
      else {
        open.delete(peer);
        refusing.delete(peer);
      }
    });
  });
}

/** Returns what counts as one address: of IPv6 the first 64 bits, which one machine has for itself. Null for loopback. */
export function peerAt(address: string | undefined): string | null {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (plain === '::1' || plain.startsWith('127.')) return null;
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = 8 - groups.length - (tail === undefined || tail === '' ? 0 : tail.split(':').length);
  if (tail !== undefined) groups.push(...Array<string>(missing).fill('0'), ...tail.split(':'));
  return `${groups.slice(0, 4).join(':')}::/64`;
}
