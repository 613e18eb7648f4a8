import { readFileSync } from 'node:fs';
import { createServer as createSecureServer } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { serveNames } from './name-server.ts';

/**
 * What an executor's network has in a test: a name server, a mirror, and a registry that wants a credential, at an address that is not on the
 * public internet. Prints "ready", and then each name that it is asked for.
 */
const [address = '', directory = ''] = process.argv.slice(2);
const tls = {
  key: readFileSync(join(directory, 'key.pem')),
  cert: readFileSync(join(directory, 'cert.pem')),
};
const addresses: Readonly<Record<string, string | readonly string[]>> = {
  'mirror.test': address,
  'registry.test': address,
  'private.test': '10.1.2.3',
  'metadata.test': '169.254.169.254',
  'rebind.test': ['1.1.1.1', '127.0.0.1'],
};
const registry = createSecureServer(tls, ({ url, headers }, response) => {
  const isKnown = headers.authorization !== undefined || headers['x-key'] !== undefined;
  response.writeHead(isKnown ? 200 : 401);
  response.end(isKnown ? `${url} for ${JSON.stringify(headers)}` : 'nobody');
});
await new Promise<void>((resolve) => registry.listen(443, address, resolve));
const mirror = createServer((socket) => {
  socket.on('error', () => {}); // the guest is gone
  socket.end('from the mirror');
});
await new Promise<void>((resolve) => mirror.listen(8080, address, resolve));
// A service of the host, on each of its addresses.
const service = createServer((socket) => {
  console.log('the host was reached');
  socket.on('error', () => {}).end();
});
await new Promise<void>((resolve) => service.listen(9090, '0.0.0.0', resolve));
await serveNames(address, addresses, (name) => console.log(name));
console.log('ready');
