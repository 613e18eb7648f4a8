interface Run<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  callers: number;
}

/**
 * Returns a function that runs `work` once for all callers that ask for the same key at the same time. Every caller of a run gets
 * its result or its error; the next call after the run has ended starts a new one. A caller whose `signal` is aborted is rejected
 * at once. The run goes on for the others: `stop` is aborted when the last caller has left, and that caller waits until the run
 * has ended.
 */
export function oncePerKey<T>(): (
  key: string,
  work: (stop: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
) => Promise<T> {
  const runs = new Map<string, Run<T>>();
  const forget = (key: string, run: Run<T>) => {
    if (runs.get(key) === run) runs.delete(key);
  };
  const start = (key: string, work: (stop: AbortSignal) => Promise<T>) => {
    const stop = new AbortController();
    // Forgotten before its callers hear of the end: one that calls again at once gets a new run.
    const result = work(stop.signal).finally(() => forget(key, run));
    const run: Run<T> = { result, stop, callers: 0 };
    result.catch(() => {}); // every caller gets the error; if all have left, nobody needs it
    runs.set(key, run);
    return run;
  };
  return async (key, work, signal) => {
    signal?.throwIfAborted();
    const run = runs.get(key) ?? start(key, work);
    run.callers += 1;
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([run.result, aborted.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      run.callers -= 1;
      if (run.callers === 0) {
        forget(key, run);
        run.stop.abort(signal?.reason);
        await run.result.catch(() => {});
      }
    }
  };
}
