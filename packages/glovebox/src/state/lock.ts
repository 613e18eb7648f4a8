import { createServer } from 'node:net';
import type { Clock } from '@glovebox/base';
import { stateBusy } from '../errors.ts';
import { type State, stateKey } from './state.ts';

/** Another command's start of everything is waited for this long. */
const patienceMs = 60_000;

/**
 * Holds the state directory for starting and stopping what runs in it; returns the release. The lock is a name in the
 * kernel (an abstract unix socket): it is free the moment its holder is dead. Errors: `state_busy`.
 */
export async function lockState(state: State, clock: Clock): Promise<() => void> {
  const giveUpAt = clock.bootTime() + patienceMs;
  for (;;) {
    const release = await tryLock(`\0glovebox-${stateKey(state)}`);
    if (release) return release;
    if (clock.bootTime() > giveUpAt) throw stateBusy(state.root);
    await clock.sleep(100);
  }
}

function tryLock(name: string): Promise<(() => void) | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(name, () => resolve(() => void server.close()));
  });
}
