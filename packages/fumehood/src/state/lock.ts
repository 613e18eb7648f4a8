import { connect, createServer } from 'node:net';
import type { Clock } from '@fumehood/base';
import { stateBusy } from '../errors.ts';
import { type State, stateKey } from './state.ts';

/** How long a command waits for another one that is starting or stopping Fumehood. */
const patienceMs = 60_000;
/** How long a holder may take to answer with its pid. */
const answerMs = 1_000;

/**
 * Locks the state directory for starting and stopping the processes that use it, and returns a function that unlocks it. The lock is
 * an abstract unix socket, which the kernel frees when its holder dies. A caller that waits reports the holder. Errors:
 * `state_busy` after a minute.
 */
export async function lockState(deps: {
  readonly state: State;
  readonly clock: Clock;
  readonly onProgress: (line: string) => void;
}): Promise<() => void> {
  const { state, clock, onProgress } = deps;
  const name = `\0fumehood-${stateKey(state)}`;
  const giveUpAt = clock.bootTime() + patienceMs;
  let holder: string | null = null;
  for (;;) {
    const release = await tryLock(name);
    if (release) return release;
    if (holder === null) {
      holder = await describeHolder(name);
      onProgress(`waiting for ${holder}, which is starting or stopping Fumehood in ${state.root}`);
    }
    if (clock.bootTime() > giveUpAt) throw stateBusy(state.root, holder);
    await clock.sleep(100);
  }
}

function tryLock(name: string): Promise<(() => void) | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).end(String(process.pid), () => socket.destroy());
    });
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(name, () => resolve(() => void server.close()));
  });
}

/** Describes the holder of the lock. Any process can take the name of the socket, so only a number is accepted as its pid. */
function describeHolder(name: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(name).setEncoding('latin1').setTimeout(answerMs);
    socket.on('data', (text: string) => {
      answer += text;
      if (answer.length > 10) socket.destroy();
    });
    socket.on('timeout', () => socket.destroy()).on('error', () => {});
    socket.on('close', () =>
      resolve(`another fumehood command${/^\d{1,10}$/.test(answer) ? ` (pid ${answer})` : ''}`),
    );
  });
}
