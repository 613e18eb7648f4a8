import { readFileSync } from 'node:fs';
import { createServer as createSecureServer } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { serveNames } from './name-server.ts';

/**
 * A machine in the network of a test's executor: it has a name server, a mirror, and a registry that wants a credential, at an address that is not
 * on the public internet. Prints "ready", and then each name that it is asked for.
 */
const [address = '', ownAddress = '', directory = ''] = process.argv.slice(2);
const tls = {
  key: readFileSync(join(directory, 'key.pem')),
  cert: readFileSync(join(directory, 'cert.pem')),
};
const addresses: Readonly<Record<string, string | readonly string[]>> = {
  'mirror.test': address,
  'registry.test': address,
  // Names of services of the executor's host, which it was given in the network, and which the operator opened by mistake.
  'own.test': ownAddress,
  'loopback.test': '127.0.0.1',
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
await serveNames(address, addresses, (name) => console.log(name));
console.log('ready');
