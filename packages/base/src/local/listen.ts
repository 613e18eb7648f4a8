import { closeSync, constants, openSync } from 'node:fs';
import type { Server } from 'node:net';
import { basename, dirname } from 'node:path';

/** Longest path of a unix socket, bytes. */
export const socketPathMax = 107;

/**
 * Makes a server listen on a unix socket. The path may be longer than `socketPathMax`, because the kernel gets a short name of its
 * directory. Errors: those of the file system.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  const close = () => closeSync(directory);
  try {
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject).listen(`/proc/self/fd/${directory}/${basename(path)}`, resolve);
    });
  } catch (error) {
    close();
    throw error;
  }
  server.once('close', close); // not before: a server that closes removes its socket by that name
}
