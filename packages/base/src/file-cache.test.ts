import { mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FumehoodError } from './errors.ts';
import { type CachedWork, type FileCache, isSharedFailure, openFileCache } from './file-cache.ts';

let root: string;
let troubles: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-file-cache-'));
  troubles = [];
});
afterEach(async () => {
  for (const cache of caches.splice(0)) await cache.trim(); // waits for what it does by itself
  rmSync(root, { recursive: true });
  expect(troubles).toEqual([]);
});

const onTrouble = ({ path }: { path: string }) => void troubles.push(path);
const caches: FileCache[] = [];
const cacheOf = (maxBytes = 2 ** 30): FileCache => {
  const cache = openFileCache({ directories: [root], maxBytes, onTrouble });
  caches.push(cache);
  return cache;
};
const at = (name: string) => join(root, name);
const present = () => readdirSync(root).sort();
const never = new AbortController().signal;
const untilStopped = (stop: AbortSignal) =>
  new Promise<void>((_resolve, reject) => {
    stop.addEventListener('abort', () => reject(new Error('stopped')));
  });

/** Counts how often it makes its file, which holds this many bytes. */
class Maker {
  made = 0;
  readonly name: string;
  private readonly bytes: number;
  constructor(name: string, bytes = 4096) {
    this.name = name;
    this.bytes = bytes;
  }
  work(more: Partial<CachedWork> = {}): CachedWork {
    const make = async () => {
      this.made += 1;
      await setImmediate();
      writeFileSync(at(this.name), Buffer.alloc(this.bytes, 1));
    };
    return { files: [at(this.name)], what: 'the disk', make, signal: never, ...more };
  }
}
const use = (name: string, minutesAgo: number) => {
  const used = Date.now() / 1000 - minutesAgo * 60;
  utimesSync(at(name), used, used);
};
/** Makes a file of 4,096 bytes for a job that has ended. */
async function put(cache: FileCache, name: string): Promise<void> {
  const job = cache.open();
  await job.get(new Maker(name).work());
  job.close();
}

describe('a file that several jobs need', () => {
  it('is made once, and each of them is told where it came from', async () => {
    const cache = cacheOf();
    const a = new Maker('a');
    const uses = [cache.open(), cache.open(), cache.open()];
    expect(await Promise.all(uses.map((one) => one.get(a.work())))).toEqual(['made', 'shared', 'shared']);
    expect(await cache.open().get(a.work())).toBe('cached');
    expect(a.made).toBe(1);
  });

  it('and cannot be made is one failure: each of them says so, and the next one tries again', async () => {
    const cache = cacheOf();
    let tries = 0;
    const make = async () => {
      tries += 1;
      await setImmediate();
      throw new FumehoodError({ code: 'disk_full', message: 'no space', remedy: 'Free some.' });
    };
    const a = new Maker('a');
    const get = () => cache.open().get(a.work({ make }));
    const errors = await Promise.all([1, 2, 3].map(() => get().catch((error: unknown) => error)));
    expect(tries).toBe(1);
    expect(errors.map(isSharedFailure)).toEqual([false, true, true]);
    for (const error of errors) expect(error).toMatchObject({ code: 'disk_full', remedy: 'Free some.' });
    expect((errors[1] as Error).message).toBe(
      'the disk was made for another job at the same time, this job waited for it, and it failed: no space',
    );
    expect(await cache.open().get(a.work())).toBe('made');
  });

  it('is made for the next one when the failure is about the first alone', async () => {
    const cache = cacheOf();
    const a = new Maker('a');
    const make = () => setImmediate().then(() => Promise.reject(new Error('little memory')));
    const first = cache.open().get(a.work({ make, isOwnFailure: () => true }));
    const others = [cache.open().get(a.work()), cache.open().get(a.work())];
    await expect(first).rejects.toThrow('little memory');
    expect(await Promise.all(others)).toEqual(['made', 'shared']);
    expect(a.made).toBe(1);
  });
});

describe('a job that is canceled', () => {
  it('while it waits leaves at once, and the others get the file', async () => {
    const cache = cacheOf();
    const a = new Maker('a');
    const [waits, goOn] = [new AbortController(), Promise.withResolvers<void>()];
    const first = cache.open().get(a.work({ make: () => goOn.promise.then(() => a.work().make(never)) }));
    const second = cache.open().get(a.work({ signal: waits.signal }));
    const third = cache.open().get(a.work());
    waits.abort(new Error('canceled'));
    await expect(second).rejects.toThrow('canceled');
    goOn.resolve();
    expect(await Promise.all([first, third])).toEqual(['made', 'shared']);
  });

  it('and had begun to make the file with what is its own ends that, and one who waits begins anew', async () => {
    const cache = cacheOf();
    const a = new Maker('a');
    const begins = new AbortController();
    let ended = false;
    const make = (stop: AbortSignal) => untilStopped(stop).finally(() => (ended = true));
    const first = cache.open().get(a.work({ make, signal: begins.signal }));
    const others = [cache.open().get(a.work()), cache.open().get(a.work())];
    begins.abort(new Error('canceled'));
    await expect(first).rejects.toThrow('canceled');
    expect(ended).toBe(true);
    expect(await Promise.all(others)).toEqual(['made', 'shared']);
    expect(a.made).toBe(1);
  });

  it('and had begun what outlives it leaves it to the others; the last one to leave ends it', async () => {
    const cache = cacheOf();
    const jobs = [new AbortController(), new AbortController()] as const;
    let ended = false;
    const make = (stop: AbortSignal) => untilStopped(stop).finally(() => (ended = true));
    const a = new Maker('a');
    const work = jobs.map(({ signal }) => a.work({ make, signal, outlivesCaller: true }));
    const [first, second] = work.map((one) => cache.open().get(one));
    jobs[0].abort(new Error('canceled 1'));
    await expect(first).rejects.toThrow('canceled 1');
    expect(ended).toBe(false);
    jobs[1].abort(new Error('canceled 2'));
    await expect(second).rejects.toThrow('canceled 2');
    expect(ended).toBe(true);
  });
});

describe('a cache that exceeds its limit', () => {
  it('loses what was not used for the longest time, with everything that belongs to it', async () => {
    const cache = cacheOf(3 * 4096);
    for (const name of ['old', 'oldest.json', 'oldest.sqfs', 'new']) await put(cacheOf(), name);
    use('old', 3);
    for (const name of ['oldest.json', 'oldest.sqfs']) use(name, 4);
    use('new', 2);
    await put(cache, 'last');
    await cache.trim();
    expect(present()).toEqual(['last', 'new', 'old']);
  });

  it('counts what a sparse file occupies, and not its length', async () => {
    const cache = cacheOf(2 ** 20);
    const make = async () => {
      writeFileSync(at('sparse'), 'x');
      truncateSync(at('sparse'), 2 ** 40);
    };
    await cache.open().get({ files: [at('sparse')], what: 'the disk', make, signal: never });
    expect(await cache.trim()).toBe(0);
  });

  it('keeps what a job uses until the job has ended, even if that alone exceeds the limit', async () => {
    const cache = cacheOf(4096);
    const [one, other] = [cache.open(), cache.open()];
    for (const name of ['a', 'b']) await one.get(new Maker(name, 8192).work());
    await other.get(new Maker('b').work());
    for (const name of ['a', 'b']) use(name, 60);
    expect(await cache.trim()).toBe(0);
    one.close();
    await expect.poll(present).toEqual(['b']);
    other.close();
    await expect.poll(present).toEqual([]);
  });

  it('does not touch what is being made', async () => {
    const cache = cacheOf(1);
    writeFileSync(at('a.partial'), Buffer.alloc(8192, 1));
    expect(await cache.trim()).toBe(0);
    expect(present()).toEqual(['a.partial']);
  });

  it('is used again after a restart, in the order of last use', async () => {
    const before = cacheOf();
    for (const name of ['a', 'b', 'c']) await put(before, name);
    use('a', 1);
    use('b', 3);
    use('c', 2);
    const after = cacheOf(4096);
    const job = after.open();
    expect(await job.get(new Maker('b').work())).toBe('cached'); // now used last
    await after.trim();
    expect(present()).toEqual(['b']);
  });
});
