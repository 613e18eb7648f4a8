import { type Clock, FumehoodError } from '@fumehood/base';
import { instanceUnreachable } from '../errors.ts';

/** The pause after the first attempt, in ms. Each pause is twice as long as the last, up to the longest. */
const firstPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * Repeats an idempotent `attempt` with growing pauses while it rejects with `instance_unreachable`. There is no limit but
 * `signal`, which ends with the lease. Rejects with every other error of `attempt`, and with the signal's reason.
 */
export async function retryWhileUnreachable<T>(
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

/** Runs `send` with a signal that is aborted after `ms`. Errors: `instance_unreachable` when it is, and those of `send`. */
export async function withTimeout<T>(
  clock: Clock,
  ms: number,
  action: string,
  send: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController();
  const answered = new AbortController();
  void clock.sleep(ms, answered.signal).then(
    () => timeout.abort(instanceUnreachable(action, `it did not answer within ${ms} ms`)),
    () => {},
  );
  try {
    return await send(timeout.signal);
  } finally {
    answered.abort();
  }
}
