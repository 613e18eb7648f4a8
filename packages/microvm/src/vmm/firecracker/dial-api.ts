import { once } from 'node:events';
import { unlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Time between two attempts to connect, ms. */
const retryEveryMs = 2;

/**
 * Connects to the socket of a VMM's API as soon as there is one, and removes it: there is no second connection. Rejects when `ended` does.
 */
export async function dialApi(path: string, ended: Promise<never>): Promise<Socket> {
  const over = new AbortController();
  ended.catch(() => over.abort());
  while (!over.signal.aborted) {
    const socket = connect(path);
    const isConnected = await once(socket, 'connect').then(
      () => true,
      () => false, // there is no socket, or its file is there and nobody listens yet
    );
    if (!isConnected) {
      await delay(retryEveryMs);
      continue;
    }
    await unlink(path);
    return socket;
  }
  return await ended;
}
