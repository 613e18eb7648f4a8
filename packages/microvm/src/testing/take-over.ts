import type { Socket } from 'node:net';
import { openFirecrackerApi } from '../vmm/firecracker/api.ts';

/** A process that gets the sockets of a guest from its parent, as an agent does, and reports what it reads from each. */
process.on('message', ({ name }: { name: string }, socket: Socket) => {
  if (name === 'monitor') {
    const paused = openFirecrackerApi(socket).send('state', { state: 'Paused' });
    paused.then(
      () => process.send?.([name, 'paused']),
      (error: Error) => process.send?.([name, error.message]),
    );
    return;
  }
  socket.on('data', (chunk: Buffer) => process.send?.([name, chunk.toString()]));
  socket.resume();
});
