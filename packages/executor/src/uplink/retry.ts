import { type Clock, FumehoodError } from '@fumehood/base';
import { instanceUnreachable } from '../errors.ts';

const firstPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * Does what may be done twice until it works, with growing pauses, as long as the instance is merely out of reach. `signal`
 * (the lease) is what bounds it. Errors: those of `attempt` that another try does not mend, and the signal's reason.
 */
export async function retrying<T>(
  clock: Clock,
  signal: AbortSignal,
  attempt: (tries: number) => Promise<T>,
): Promise<T> {
  for (let tries = 1, pause = firstPauseMs; ; tries++, pause = Math.min(pause * 2, longestPauseMs)) {
    signal.throwIfAborted();
    try {
      return await attempt(tries);
    } catch (error) {
      if (!(error instanceof FumehoodError) || error.code !== 'instance_unreachable') throw error;
    }
    await clock.sleep(pause, signal).catch(() => signal.throwIfAborted());
  }
}

/**
 * Gives a request up that takes longer than `ms`: the signal that `ask` gets is aborted then. Errors: `instance_unreachable`,
 * and those of `ask`.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  what: string,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const answered = new AbortController();
  void clock.sleep(ms, answered.signal).then(
    () => late.abort(instanceUnreachable(what, `it did not answer within ${ms} ms`)),
    () => {},
  );
  try {
    return await ask(late.signal);
  } finally {
    answered.abort();
  }
}
