import type { Socket } from 'node:net';
import * as z from 'zod';
import { guestNotReady } from '../../errors.ts';
import type { Monitor, VmmDescriptors } from '../vmm.ts';

/** Longest line of the monitor, characters: a guest may have taken over the VMM, so its lines are bounded and checked. */
const lineMax = 65_536;
const reply = z
  .object({
    id: z.union([z.int(), z.string().max(20)]),
    return: z.object({ status: z.string().max(20).optional() }),
    error: z.object({ desc: z.string().max(1000) }),
    event: z.string(),
  })
  .partial();

/** Without this, the state of a template would contain its memory, which its clones map instead. */
const withoutMemory = {
  execute: 'migrate-set-capabilities',
  arguments: { capabilities: [{ capability: 'x-ignore-shared', state: true }] },
};

/** Writes the commands with which a VMM begins, without waiting for answers: QEMU executes them in order. */
export function begin(socket: Socket, fds: Pick<VmmDescriptors, 'start'>): void {
  const commands: object[] = [{ execute: 'qmp_capabilities' }];
  if ('state' in fds.start) {
    const uri = `fd:${fds.start.state}`;
    commands.push(withoutMemory, { execute: 'migrate-incoming', arguments: { uri } });
  }
  for (const command of commands) socket.write(`${JSON.stringify({ ...command, id: 'begin' })}\n`);
}

/** Speaks QEMU's monitor protocol (QMP) on an inherited socket, after `begin`. Errors of every call: `guest_not_ready`. */
export function openMonitor(socket: Socket): Monitor {
  const pending = new Map<number, { resolve(status: string): void; reject(error: Error): void }>();
  const failAll = (why: string) => {
    for (const call of pending.values()) call.reject(guestNotReady(why));
    pending.clear();
  };
  let lastId = 0;
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
    const call = pending.get(parsed.id as number);
    if (!call) return;
    if (parsed.error) call.reject(guestNotReady(parsed.error.desc));
    else if (parsed.return) call.resolve(parsed.return.status ?? '');
    else return;
    pending.delete(parsed.id as number);
  };
  const execute = (command: object) =>
    new Promise<string>((resolve, reject) => {
      if (socket.destroyed) return reject(guestNotReady('its monitor is closed'));
      pending.set(++lastId, { resolve, reject });
      socket.write(`${JSON.stringify({ ...command, id: lastId })}\n`);
    });

  return {
    pause: async () => void (await execute({ execute: 'stop' })),
    async save({ stateSocket }) {
      await execute(withoutMemory);
      await execute({ execute: 'migrate', arguments: { uri: `unix:/proc/self/fd/${stateSocket}` } });
      for (let status = ''; status !== 'completed'; ) {
        if (status === 'failed' || status === 'cancelled')
          throw guestNotReady(`saving it ended with ${status}`);
        status = await execute({ execute: 'query-migrate' });
      }
    },
  };
}
