import type { Socket } from 'node:net';
import { z } from 'zod';
import { guestNotReady } from '../errors.ts';

/** A running VM's own controls. */
export interface Monitor {
  /** Stops the guest's processors; its memory and disks stay as they are. */
  pause(): Promise<void>;
}

/** The monitor's lines are the VMM's, which a guest may have taken over: bounded and checked like a guest's. */
const lineMax = 65_536;
const reply = z
  .object({
    return: z.unknown(),
    error: z.object({ desc: z.string().max(1000) }).optional(),
    event: z.string().optional(),
  })
  .partial();

/** QEMU's monitor protocol (QMP) on an inherited socket. Errors of every call: `guest_not_ready`. */
export function openMonitor(socket: Socket): Monitor {
  const waiting: { resolve(): void; reject(error: Error): void }[] = [];
  const failAll = (why: string) => {
    for (const waiter of waiting.splice(0)) waiter.reject(guestNotReady(why));
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
  socket.on('error', () => {}); // 'close' follows
  socket.on('close', () => failAll('its monitor closed'));

  const takeLine = (line: string) => {
    let parsed: z.infer<typeof reply>;
    try {
      parsed = reply.parse(JSON.parse(line));
    } catch {
      socket.destroy();
      return;
    }
    if (parsed.error) waiting.shift()?.reject(guestNotReady(parsed.error.desc));
    else if ('return' in parsed) waiting.shift()?.resolve();
  };
  const execute = (command: string) =>
    new Promise<void>((resolve, reject) => {
      if (socket.destroyed) return reject(guestNotReady('its monitor is closed'));
      waiting.push({ resolve, reject });
      socket.write(`${JSON.stringify({ execute: command })}\n`);
    });

  const negotiated = execute('qmp_capabilities');
  negotiated.catch(() => {}); // the first call tells
  return {
    pause: async () => {
      await negotiated;
      await execute('stop');
    },
  };
}
