import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { dialThrough, goesThrough } from './http-proxy.ts';

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
async function dialled(answer: string, host = 'registry.test') {
  let asked = '';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      asked = chunk.toString('latin1');
      socket.end(answer, 'latin1');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, except: [] };
  try {
    const socket = await dialThrough(proxy, host, 443, (at, port) => connect({ host: at, port }));
    let rest = '';
    for await (const chunk of socket) rest += String(chunk);
    return { asked, rest };
  } finally {
    server.close();
  }
}

it('what follows the answer of the proxy is kept', async () => {
  const { asked, rest } = await dialled('HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello');
  expect(asked).toBe('CONNECT registry.test:443 HTTP/1.1\r\nHost: registry.test:443\r\n\r\n');
  expect(rest).toBe('hello');
  expect((await dialled('HTTP/1.0 200 yes\r\n\r\n', '2001:db8::1')).asked).toContain(
    'CONNECT [2001:db8::1]:443 ',
  );
});

it.each([
  ['a refusal', 'HTTP/1.1 403 Forbidden\r\n\r\n'],
  ['no answer', ''],
  ['an answer that is cut off', 'HTTP/1.1 200 OK\r\n'],
  ['an answer without end', `HTTP/1.1 200 OK\r\n${'x'.repeat(40_000)}`],
])('%s is an error', async (_what, answer) => {
  await expect(dialled(answer)).rejects.toThrow('the proxy');
});

it('a host with other characters gets nowhere', async () => {
  await expect(dialled('HTTP/1.1 200 OK\r\n\r\n', 'a\r\nX: y')).rejects.toThrow('no host');
});
