import { connect, createServer } from 'node:net';
import type { Clock } from '@fumehood/base';
import { stateBusy } from '../errors.ts';
import { type State, stateKey } from './state.ts';

/** Another command's start of everything is waited for this long. */
const patienceMs = 60_000;
/** A holder that is busy may take this long to say who it is. */
const answerMs = 1_000;

/**
 * Holds the state directory for starting and stopping what runs in it; returns the release. The lock is a name in the
 * kernel (an abstract unix socket): it is free the moment its holder is dead. Who waits is told for whom. Errors:
 * `state_busy`.
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
      holder = await askHolder(name);
      onProgress(`waiting for ${holder}, which is starting or stopping what runs in ${state.root}`);
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

/** Words for who holds the lock. Anybody can take the name: what it answers is believed only as a number. */
function askHolder(name: string): Promise<string> {
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
