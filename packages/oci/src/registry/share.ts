interface Work<T> {
  readonly done: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
}

/**
 * One piece of work for all who want it at the same time. Who gives up is let go at once; with the last of them the work is
 * stopped, and waited for.
 */
export function sharing<T>(): (
  key: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
) => Promise<T> {
  const running = new Map<string, Work<T>>();
  return async (key, signal, work) => {
    signal.throwIfAborted();
    const one = running.get(key) ?? begin(running, key, work);
    one.waiting += 1;
    let giveUp = () => {};
    const givenUp = new Promise<never>((_resolve, reject) => {
      giveUp = () => reject(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
    });
    try {
      return await Promise.race([one.done, givenUp]);
    } finally {
      signal.removeEventListener('abort', giveUp);
      one.waiting -= 1;
      if (one.waiting === 0) {
        if (running.get(key) === one) running.delete(key);
        one.stop.abort(signal.reason);
        await one.done.catch(() => {});
      }
    }
  };
}

function begin<T>(
  running: Map<string, Work<T>>,
  key: string,
  work: (signal: AbortSignal) => Promise<T>,
): Work<T> {
  const stop = new AbortController();
  const one = { done: work(stop.signal), stop, waiting: 0 };
  one.done.catch(() => {}); // told to everybody who waits
  running.set(key, one);
  return one;
}
