import { createServer } from 'node:net';

/** A service of the executor's host in a test, on each of the host's addresses. Prints "ready", and then a line for each connection. */
const service = createServer((socket) => {
  console.log('the host was reached');
  socket.on('error', () => {}).end();
});
await new Promise<void>((resolve) => service.listen(9090, '0.0.0.0', resolve));
console.log('ready');
