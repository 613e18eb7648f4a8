import { createServer } from 'node:net';
import { serveNames } from './name-server.ts';

/**
 * What an executor's network has in a test: a name server and a mirror, at an address that is not on the public internet. Prints "ready", and
 * then each name that it is asked for.
 */
const [address = ''] = process.argv.slice(2);
const addresses: Readonly<Record<string, string>> = {
  'mirror.test': address,
  'private.test': '10.1.2.3',
  'metadata.test': '169.254.169.254',
};
const mirror = createServer((socket) => {
  socket.on('error', () => {}); // the guest is gone
  socket.end('from the mirror');
});
await new Promise<void>((resolve) => mirror.listen(8080, address, resolve));
await serveNames(address, addresses, (name) => console.log(name));
console.log('ready');
