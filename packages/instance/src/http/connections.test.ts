import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { boundConnections, peerAt } from './connections.ts';

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

describe('connections of one address', () => {
  /** Opens this many connections to a server with a bound of 2, and returns how many of them are served. */
  async function served(count: number, peerOf?: () => string): Promise<{ served: number; warnings: number }> {
    let warnings = 0;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.write('served'));
    });
    boundConnections(server, 2, { warn: () => (warnings += 1) }, peerOf);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const answers = await Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(port, '127.0.0.1');
        opened.push(socket);
        socket.on('error', () => {});
        socket.write('serve me');
        let text = '';
        socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
        await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {});
        return text;
      }),
    );
    for (const socket of opened) socket.destroy();
    server.close();
    return { served: answers.filter((text) => text === 'served').length, warnings };
  }

  test('beyond the bound are closed, which is logged once', async () => {
    expect(await served(6, () => 'peer')).toEqual({ served: 2, warnings: 1 });
    let peer = 0;
    expect(await served(6, () => `peer ${(peer += 1)}`)).toEqual({ served: 6, warnings: 0 });
  });

  test('of loopback are not bounded', async () => {
    expect(await served(6)).toEqual({ served: 6, warnings: 0 });
  });
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::ffff:127.0.0.1', null],
  ['127.8.8.8', null],
  ['::1', null],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s counts as %s', (address, peer) => {
  expect(peerAt(address)).toBe(peer);
});
