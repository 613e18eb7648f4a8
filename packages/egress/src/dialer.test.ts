import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openDialer } from './dialer.ts';
import { goesThrough } from './http-proxy.ts';

const through = (host: string, ...except: string[]) =>
  goesThrough({ url: 'http://proxy.test:1', except }, host, 443);

it('all hosts but loopback and the excepted ones go through the proxy', () => {
  expect(through('registry.example.com')).toBe(true);
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '::1']) expect(through(host)).toBe(false);
  expect(through('registry.example.com', 'registry.example.com')).toBe(false);
  expect(through('registry.example.com', 'REGISTRY.example.com:443')).toBe(false);
  expect(through('registry.example.com', 'registry.example.com:444')).toBe(true);
  expect(through('registry.example.com', '.example.com')).toBe(false);
  expect(through('registry.example.com', '*.example.com')).toBe(false);
  expect(through('example.com', '.example.com')).toBe(true);
  expect(through('badexample.com', 'example.com')).toBe(true);
  expect(through('registry.example.com', '*')).toBe(false);
});

/** Dials through a proxy that answers with these bytes. Returns what the proxy got, and what came after its answer. */
async function dialled(
  answer: string,
  name: string | null = 'registry.test',
  addresses: readonly string[] = [],
) {
  let asked = '';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      asked = chunk.toString('latin1');
      socket.end(answer, 'latin1');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const { socket, ready } = openDialer({ url, except: [] })({ name, addresses, port: 443 });
    await ready.catch((error: unknown) => {
      expect(socket.destroyed).toBe(true);
      throw error;
    });
    let rest = '';
    for await (const chunk of socket) rest += String(chunk);
    socket.destroy();
    return { asked, rest };
  } finally {
    server.close();
  }
}

describe('a connection through a proxy', () => {
  it('is asked for by name, and what follows the answer of the proxy is kept', async () => {
    const { asked, rest } = await dialled('HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello', 'registry.test', [
      '192.0.2.1',
    ]);
    expect(asked).toMatch(/^CONNECT registry\.test:443 HTTP\/1\.1\r\nhost: registry\.test:443\r\n/i);
    expect(rest).toBe('hello');
  });

  it('is asked for by address where there is no name', async () => {
    const { asked } = await dialled('HTTP/1.0 200 yes\r\n\r\n', null, ['2001:db8::1', '192.0.2.1']);
    expect(asked).toContain('CONNECT [2001:db8::1]:443 ');
  });

  it.each([
    ['a refusal', 'HTTP/1.1 403 Forbidden\r\n\r\n', /refuses the connection with status 403/],
    ['no answer', '', /socket hang up/],
    ['an answer that is cut off', 'HTTP/1.1 200 OK\r\n', /socket hang up|Parse Error/],
    ['an answer without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}`, /Header overflow/],
  ])('fails with %s', async (_what, answer, message) => {
    await expect(dialled(answer)).rejects.toThrow(message);
  });

  it('is made for no host with other characters', async () => {
    await expect(dialled('HTTP/1.1 200 OK\r\n\r\n', 'a\r\nX: y')).rejects.toThrow('no host');
  });
});

describe('a connection without a proxy', () => {
  it('goes to the first address that answers, and no name server is asked for the name', async () => {
    const server = createServer((socket) => void socket.on('error', () => {}).end('here')).listen(0, '::1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { socket, ready } = openDialer(null)({ name: 'a.test', addresses: ['127.0.0.1', '::1'], port });
    await ready;
    expect(socket.remoteAddress).toBe('::1');
    socket.destroy();
    server.close();
  });

  it('fails without an address, and when it is ended before', async () => {
    await expect(openDialer(null)({ name: 'a.test', addresses: [], port: 1 }).ready).rejects.toThrow(
      'no address',
    );
    const { socket, ready } = openDialer(null)({ name: null, addresses: ['127.0.0.1'], port: 9 });
    socket.destroy();
    await expect(ready).rejects.toThrow();
  });
});
