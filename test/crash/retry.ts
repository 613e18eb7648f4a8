import { setTimeout as sleep } from 'node:timers/promises';

/** Calls `attempt` every 250 ms until it succeeds, at most `tries` times. Rejects with the last error of `attempt`. */
export async function retry<T>(attempt: () => T | Promise<T>, tries = 120): Promise<T> {
  for (let left = tries; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (left <= 0) throw error;
      await sleep(250);
    }
  }
}
