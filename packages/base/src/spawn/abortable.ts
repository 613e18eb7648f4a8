import type { Spawn } from './spawn.ts';

/** Returns a `Spawn` whose programs are killed, with everything that they started, when the signal is aborted. */
export function abortable(spawn: Spawn, signal: AbortSignal): Spawn {
  return async (request) => {
    const process = await spawn(request);
    const kill = () => process.kill();
    signal.addEventListener('abort', kill, { once: true });
    if (signal.aborted) kill();
    void process.exited.then(() => signal.removeEventListener('abort', kill));
    return process;
  };
}
