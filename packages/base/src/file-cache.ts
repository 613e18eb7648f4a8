import { existsSync, renameSync, utimesSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorFacts, FumehoodError, factsOf } from './errors.ts';

/** Files that one caller needs, and how they are made when they are not in the cache. */
export interface CachedWork {
  /** Paths in directories of the cache. Their names differ after the first dot alone. */
  readonly files: readonly [string, ...string[]];
  /** What is made, for the error of a caller that waited for it: `the disk of the image`. */
  readonly what: string;
  /** Makes the files, each of them complete or not at all. Ends soon after `stop` was aborted. */
  readonly make: (stop: AbortSignal) => Promise<void>;
  /** Aborted when the caller does not need the files any more. */
  readonly signal: AbortSignal;
  /**
   * Whether the making goes on for those who wait when the caller that began it has left. Without it, one of them begins anew: the
   * making uses the credential or the memory of the caller that began it.
   */
  readonly outlivesCaller?: boolean;
  /** Whether an error is about the caller that began the making, and about nobody who waits. One of these begins anew then. */
  readonly isOwnFailure?: (error: unknown) => boolean;
}

/** Where the files of a caller came from; `shared`: another caller made them at the same time. */
export type CachedOrigin = 'cached' | 'made' | 'shared';

/** What one job uses of the cache. */
export interface FileCacheUse {
  /**
   * Resolves when the files are there, and keeps them until `close`. Callers that need the same files at the same time make them once.
   * If that fails, each of them gets the error (`isSharedFailure` for those who waited), and the next call tries again. Errors: those of
   * `make`, and the signal's reason.
   */
  get(work: CachedWork): Promise<CachedOrigin>;
  /** From now on, what was kept for this job may be removed. */
  close(): void;
}

/** The files that jobs share: image archives and disks. It grants nothing: a caller proves its right before it asks. */
export interface FileCache {
  /** Opens the use of one job. */
  open(): FileCacheUse;
  /**
   * Removes files until the cache is within its limit, those that were not used for the longest time first, and none that a job uses.
   * The cache also does this by itself when files are made. Resolves with the number of removed files.
   */
  trim(): Promise<number>;
}

export interface FileCacheOptions {
  readonly directories: readonly string[];
  /** Allocated bytes of all files together. Files that jobs use may exceed it; what is being made is not counted before it is complete. */
  readonly maxBytes: number;
  /** Called when a file cannot be removed. */
  readonly onTrouble: (facts: { readonly path: string; readonly error: ErrorFacts }, message: string) => void;
}

interface Making {
  readonly result: Promise<void>;
  readonly stop: AbortController;
  readonly isOwnFailure: (error: unknown) => boolean;
  ended: boolean;
  callers: number;
}

interface Entry {
  readonly files: string[];
  bytes: number;
  used: number;
}

/** Files that are being made, or removed. A crash leaves them, and the janitor removes them. */
const unfinished = /^\.|\.partial$/;

/** Opens the cache. The order of last use is kept in the modification times of the files, and so across restarts. */
export function openFileCache({ directories, maxBytes, onTrouble }: FileCacheOptions): FileCache {
  const makings = new Map<string, Making>();
  /** How many jobs use each file. */
  const users = new Map<string, number>();
  let trimming: Promise<number> = Promise.resolve(0);
  let isOver = false;

  const trim = () => {
    trimming = trimming.then(trimNow);
    return trimming;
  };
  const trimNow = async () => {
    const entries = await entriesOf(directories);
    let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    let removed = 0;
    for (const { files, bytes } of entries.sort((one, other) => one.used - other.used)) {
      if (total <= maxBytes) break;
      if (files.some((file) => users.has(file))) continue;
      // No job can begin to use the files between the check above and these renames, which are synchronous.
      const renamed = files.flatMap((path) => {
        try {
          renameSync(path, `${path}.removed.partial`);
          return [`${path}.removed.partial`];
        } catch (error) {
          onTrouble({ path, error: factsOf(error) }, 'a file of the cache could not be removed');
          return [];
        }
      });
      for (const path of renamed) await rm(path, { force: true });
      removed += renamed.length;
      if (renamed.length === files.length) total -= bytes;
    }
    isOver = total > maxBytes;
    return removed;
  };
  const trimSoon = () =>
    void trim().catch((error: unknown) =>
      onTrouble({ path: directories.join(), error: factsOf(error) }, 'the cache could not be trimmed'),
    );

  const begin = (key: string, { make, isOwnFailure = () => false }: CachedWork): Making => {
    const stop = new AbortController();
    const result = make(stop.signal).finally(() => {
      // Before its callers hear of the end: one that asks again at once begins anew.
      making.ended = true;
      forget(key, making);
    });
    const making: Making = { result, stop, isOwnFailure, ended: false, callers: 0 };
    result.catch(() => {}); // every caller gets the error; if all have left, nobody needs it
    makings.set(key, making);
    return making;
  };
  const forget = (key: string, making: Making) => {
    if (makings.get(key) === making) makings.delete(key);
  };
  /** Waits for the end of a making, or until this caller leaves. */
  const follow = async (key: string, making: Making, signal: AbortSignal, endsWithCaller: boolean) => {
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    making.callers += 1;
    try {
      await Promise.race([making.result, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      making.callers -= 1;
      if (!making.ended && (making.callers === 0 || endsWithCaller)) {
        forget(key, making);
        making.stop.abort(signal.reason);
        await making.result.catch(() => {});
      }
    }
  };
  const get = async (work: CachedWork): Promise<CachedOrigin> => {
    const { files, signal } = work;
    const [key] = files;
    let origin: CachedOrigin = 'cached';
    while (!files.every((file) => existsSync(file))) {
      signal.throwIfAborted();
      const others = makings.get(key);
      if (!others) {
        await follow(key, begin(key, work), signal, !work.outlivesCaller);
        origin = 'made';
        trimSoon();
        break;
      }
      origin = 'shared';
      await follow(key, others, signal, false).catch((error: unknown) => {
        signal.throwIfAborted();
        if (!others.stop.signal.aborted && !others.isOwnFailure(error)) throw sharedFailure(work.what, error);
      });
    }
    const now = Date.now() / 1000;
    for (const file of files) utimesSync(file, now, now);
    return origin;
  };

  return {
    open() {
      const used = new Set<string>();
      return {
        get(work) {
          for (const file of work.files) {
            if (!used.has(file)) users.set(file, (users.get(file) ?? 0) + 1);
            used.add(file);
          }
          return get(work);
        },
        close() {
          for (const file of used) {
            const others = (users.get(file) ?? 1) - 1;
            if (others > 0) users.set(file, others);
            else users.delete(file);
          }
          used.clear();
          if (isOver) trimSoon();
        },
      };
    },
    trim,
  };
}

/** Returns what is complete in the directories. Files whose names differ after the first dot alone are one entry. */
async function entriesOf(directories: readonly string[]): Promise<Entry[]> {
  const entries = new Map<string, Entry>();
  for (const directory of directories) {
    // Sorted, so that a crash between two removals leaves a disk without its configuration, and never the reverse.
    for (const name of (await readdir(directory)).sort()) {
      if (unfinished.test(name)) continue;
      const path = join(directory, name);
      const is = await lstat(path).catch(() => null);
      if (!is?.isFile()) continue;
      const key = join(directory, name.replace(/\..*/, ''));
      const entry = entries.get(key) ?? { files: [], bytes: 0, used: 0 };
      entry.files.push(path);
      entry.bytes += is.blocks * 512; // disks are sparse, so their allocated blocks count
      entry.used = Math.max(entry.used, is.mtimeMs);
      entries.set(key, entry);
    }
  }
  return [...entries.values()];
}

function sharedFailure(what: string, error: unknown): FumehoodError {
  const facts = factsOf(error);
  return new FumehoodError({
    ...facts,
    message: `${what} was made for another job at the same time, this job waited for it, and it failed: ${facts.message}`,
    details: { ...facts.details, shared: true },
  });
}

/** Returns whether an error is one that another caller of the cache got first: one failure, which several jobs report. */
export function isSharedFailure(error: unknown): boolean {
  return factsOf(error).details?.shared === true;
}
