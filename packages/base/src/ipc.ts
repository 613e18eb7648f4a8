import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import * as z from 'zod';
import { factsOf } from './errors.ts';

/** The other end of Node's IPC channel: a child, or `process`, which stands for the parent. */
type Peer = ChildProcess | NodeJS.Process;

/** An error as it crosses the channel. */
export const ipcErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  remedy: z.string().optional(),
});

/** Returns the part of an error that crosses the channel: no details, cause or stack. */
export function ipcError(error: unknown): z.output<typeof ipcErrorSchema> {
  const { code, message, remedy } = factsOf(error);
  return { code, message, ...(remedy && { remedy }) };
}

/**
 * Calls `onMessage` with each message of this vocabulary. Several vocabularies share one channel, so a message that does not
 * match the schema is ignored.
 */
export function receiveMessages<S extends z.ZodType>(
  peer: Peer,
  vocabulary: S,
  onMessage: (message: z.output<S>, socket: Socket | undefined) => void,
): void {
  (peer as NodeJS.EventEmitter).on('message', (message: unknown, handle: unknown) => {
    const parsed = vocabulary.safeParse(message);
    if (parsed.success) onMessage(parsed.data, handle as Socket | undefined);
  });
}

/** Sends a message, with a socket if there is one. Resolves once it is sent, and also when the peer is gone. Never rejects. */
export function sendMessage(peer: Peer, message: object, socket?: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (!peer.connected || !peer.send) return resolve();
    // The peer may be dead before this process knows: without a callback, the failure would be emitted as an `error` event.
    peer.send(message, socket, {}, () => resolve());
  });
}
