import type { Socket } from 'node:net';
import * as z from 'zod';
import { guestNotReady } from '../../errors.ts';

/** The monitor of a running VM. */
export interface Monitor {
  /** Stops the guest's processors. Its memory and disks do not change from then on. */
  pause(): Promise<void>;
}

/** Longest line of the monitor, characters: a guest may have taken over the VMM, so its lines are bounded and checked. */
const lineMax = 65_536;
const reply = z
  .object({
    return: z.unknown(),
    error: z.object({ desc: z.string().max(1000) }).optional(),
    event: z.string().optional(),
  })
  .partial();

/** Speaks QEMU's monitor protocol (QMP) on an inherited socket. Errors of every call: `guest_not_ready`. */
export function openMonitor(socket: Socket): Monitor {
  const pending: { resolve(): void; reject(error: Error): void }[] = [];
  const failAll = (why: string) => {
    for (const call of pending.splice(0)) call.reject(guestNotReady(why));
  };
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    rest += chunk;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      takeLine(rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
    if (rest.length > lineMax) socket.destroy();
  });
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => failAll('its monitor closed'));

  const takeLine = (line: string) => {
    let parsed: z.infer<typeof reply>;
    try {
      parsed = reply.parse(JSON.parse(line));
    } catch {
      socket.destroy();
      return;
    }
    if (parsed.error) pending.shift()?.reject(guestNotReady(parsed.error.desc));
    else if ('return' in parsed) pending.shift()?.resolve();
  };
  const execute = (command: string) =>
    new Promise<void>((resolve, reject) => {
      if (socket.destroyed) return reject(guestNotReady('its monitor is closed'));
      pending.push({ resolve, reject });
      socket.write(`${JSON.stringify({ execute: command })}\n`);
    });

  const negotiated = execute('qmp_capabilities');
  negotiated.catch(() => {}); // every call rejects with it
  return {
    pause: async () => {
      await negotiated;
      await execute('stop');
    },
  };
}
