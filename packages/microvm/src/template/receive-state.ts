import { once } from 'node:events';
import { chmod, chown, type FileHandle, open, unlink } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { guestNotReady } from '../errors.ts';
import type { VmHost } from '../vm/host.ts';

/** The flag of open(2) for a file that is only named: O_PATH, which Node does not list. */
const openPath = 0o10000000;
/** Largest state of a VM's devices, bytes. It is 70 KB. */
const stateMax = 16 * 2 ** 20;

/** A socket to which one VMM writes the state of its devices. */
export interface StateSocket {
  /** The socket in the file system, to be inherited. */
  readonly file: FileHandle;
  /** Writes what the first client sends to a file. Errors: `guest_not_ready` when it is too much. */
  receive(into: FileHandle): Promise<void>;
  close(): Promise<void>;
}

/** Listens on a path to which only the VMM's user can connect. */
export async function listenForState(path: string, identity: VmHost['identity']): Promise<StateSocket> {
  const server = createServer();
  await once(server.listen(path), 'listening');
  const close = async () => {
    server.close();
    await unlink(path).catch(() => {}); // closing the server removes it, too
  };
  try {
    await chmod(path, 0o600);
    if (identity) await chown(path, identity.uid, identity.gid);
    return { file: await open(path, openPath), close, receive };
  } catch (error) {
    await close();
    throw error;
  }

  async function receive(file: FileHandle): Promise<void> {
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    let bytes = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > stateMax) throw guestNotReady('the state of its devices is too large');
      await file.writeFile(chunk);
    }
  }
}
