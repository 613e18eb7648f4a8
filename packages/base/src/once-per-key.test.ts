import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { oncePerKey } from './once-per-key.ts';

const untilStopped = (stop: AbortSignal) =>
  new Promise<number>((_resolve, reject) => {
    stop.addEventListener('abort', () => reject(new Error('stopped')));
  });

describe('oncePerKey', () => {
  it('runs work that several callers want once, and gives each of them the result', async () => {
    const run = oncePerKey<number>();
    let runs = 0;
    const work = () => Promise.resolve(++runs);
    expect(await Promise.all([run('a', work), run('a', work)])).toEqual([1, 1]);
    expect(await run('a', work)).toBe(2);
  });

  it('runs the work of each key by itself', async () => {
    const run = oncePerKey<string>();
    const both = ['a', 'b'].map((key) => run(key, () => Promise.resolve(key)));
    expect(await Promise.all(both)).toEqual(['a', 'b']);
  });

  it('rejects a caller that aborts, keeps the run for the others, and stops it with the last', async () => {
    const run = oncePerKey<number>();
    let stopped = false;
    const work = (stop: AbortSignal) => untilStopped(stop).finally(() => (stopped = true));
    const [one, other] = [new AbortController(), new AbortController()];
    const first = run('a', work, one.signal);
    const second = run('a', work, other.signal);
    one.abort(new Error('one'));
    await expect(first).rejects.toThrow('one');
    expect(stopped).toBe(false);
    other.abort(new Error('other'));
    await expect(second).rejects.toThrow('other');
    expect(stopped).toBe(true);
  });

  it('gives the error of a run to every caller, and starts a new run for the next call', async () => {
    const run = oncePerKey<number>();
    const fail = () => Promise.reject<number>(new Error('no'));
    const both = await Promise.allSettled([run('a', fail), run('a', fail)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await run('a', () => Promise.resolve(1))).toBe(1);
  });

  it('starts one run, not one each, for callers that call again after an error', async () => {
    const run = oncePerKey<number>();
    let runs = 0;
    const work = async () => {
      runs += 1;
      await setImmediate();
      if (runs === 1) throw new Error('no');
      return runs;
    };
    const callers = Array.from({ length: 5 }, () => run('a', work).catch(() => run('a', work)));
    expect(await Promise.all(callers)).toEqual([2, 2, 2, 2, 2]);
    expect(runs).toBe(2);
  });
});
