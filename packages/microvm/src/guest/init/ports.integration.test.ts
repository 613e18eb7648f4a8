import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encodeMessage, messageReader } from '../../channel/frame.ts';
import { compiled } from './testing/compile.ts';

const dial = compiled(
  'dial',
  ['ports.c', 'control.c', 'frame.c'],
  ['-Dsocket=vsock_socket', '-Dconnect=vsock_connect'],
);
const firstPort = 1024;
let directory: string;
let servers: Server[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-ports-'));
});
afterEach(async () => {
  for (const server of servers) server.close();
  servers = [];
  await rm(directory, { recursive: true });
});

/** Listens for the guest on each port, and resolves with its connections and its first message when it has dialled all of them. */
async function dialled(): Promise<{ readonly all: Socket[]; readonly message: string }> {
  const all = await Promise.all(
    [0, 1, 2, 3, 4].map(async (index) => {
      const server = createServer();
      servers.push(server);
      server.listen(join(directory, `v_${firstPort + index}`));
      const [socket] = (await once(server, 'connection')) as [Socket];
      server.close();
      return socket;
    }),
  );
  const read = messageReader();
  const [chunk] = (await once(all[0] as Socket, 'data')) as [Buffer];
  return { all, message: read(chunk).map(({ verb, fields }) => [verb, ...fields].join(' '))[0] ?? '' };
}

it('a guest without virtio-serial dials its host, and again after a restore, until it has heard from it', async () => {
  const guest = spawn(dial.path, { cwd: directory });
  const [stdout, stderr] = [text(guest.stdout), text(guest.stderr)];
  const exit = once(guest, 'exit');
  const hangUp = (sockets: readonly Socket[]) => sockets.forEach((socket) => socket.destroy());
  try {
    const template = await dialled();
    expect(template.message).toBe('ready 1');
    const next = dialled();
    hangUp(template.all);
    const clone = await next;
    expect(clone.message).toBe('ready 1');
    clone.all[0]?.write(encodeMessage('ping', [1]));
    await once(guest.stdout, 'data');
    hangUp(clone.all);
    expect(await exit).toEqual([0, null]);
    expect(await stdout).toBe('ping\n');
    expect(await stderr).toBe('control port: the host has closed it');
  } finally {
    guest.kill('SIGKILL');
  }
});
