import { type ErrorFacts, factsOf, FumehoodError, type Clock } from '@fumehood/base';
import { noRoomForTemplate, templateRetried, templateTooOld } from '../errors.ts';
import type { Shape, Template } from './template.ts';

/** Why a VM cannot be a clone: the code and the message of an error. */
export type WhyNot = Pick<ErrorFacts, 'code' | 'message'>;

/** A template for one clone, or the reason for which there is none. The caller releases it when the clone has ended. */
export type Taken =
  | { readonly template: Template; readonly release: () => void }
  | { readonly template: null; readonly why: WhyNot };

/** The templates of a host, one for each shape, in a bounded part of its memory. */
export interface Templates {
  /** Resolves with the template of this shape, which is made if there is none. Never rejects. */
  take(shape: Shape): Promise<Taken>;
  /** Removes all of them. */
  removeAll(): Promise<void>;
}

/** After a template could not be made twice, VMs of its shape boot for so long, ms, before it is tried again. */
export const retryMs = 60_000;

/**
 * Oldest template from which clones are made, ms: a day. A clone's clock is as old as its template until the host sets it, and what the
 * kernel chose at random when it booted, such as its own addresses, is the same in all clones of a template.
 */
export const ageMaxMs = 86_400_000;

interface Entry {
  readonly memoryMiB: number;
  /** What a VM of this shape gets now. It waits while the template is made for the first time, and not while that is tried again. */
  now: Promise<Template | FumehoodError>;
  /** Resolves when the template is made, or cannot be made. */
  readonly settled: Promise<void>;
  /** Boot time at which the template was saved. */
  madeAt: number;
  /** Boot time until which a failure stands; 0: it did not fail. */
  failedUntil: number;
  users: number;
}

/**
 * Keeps templates within `memoryMiB`. A template that does not fit takes the place of those that no clone uses, the one that was used
 * the longest time ago first. Templates are made one at a time. One that could not be made is tried once more, and VMs boot meanwhile;
 * it is one failure for all who wait.
 */
export function openTemplates(options: {
  readonly memoryMiB: number;
  readonly make: (shape: Shape) => Promise<Template>;
  /** Names what a template is made from besides its shape: when it changes, the template is made again. */
  readonly inputs: () => Promise<string>;
  readonly clock: Pick<Clock, 'bootTime'>;
  /** Is told of each failure to make a template. */
  readonly onFailure: (shape: Shape, error: FumehoodError) => void;
}): Templates {
  const { memoryMiB: budget, make, inputs, clock, onFailure } = options;
  /** In the order of their last use. */
  const entries = new Map<string, Entry>();
  let making: Promise<unknown> = Promise.resolve();
  let closed = false;

  const remove = async (key: string) => {
    const entry = entries.get(key);
    entries.delete(key);
    await entry?.settled;
    const made = await entry?.now;
    if (made && !(made instanceof FumehoodError)) await made.remove();
  };
  const sum = (some: readonly Entry[]) => some.reduce((all, { memoryMiB }) => all + memoryMiB, 0);
  const used = () => sum([...entries.values()]);
  const inUse = () => sum([...entries.values()].filter(({ users }) => users > 0));
  /** Removes a template that no clone uses before the next one is made. */
  const removeFirst = (key: string) => {
    making = Promise.allSettled([making, remove(key)]);
  };
  /** Removes unused templates until this much fits. Returns whether it does. */
  const makeRoom = (memoryMiB: number) => {
    const unused = [...entries].filter(([, { users }]) => users === 0);
    if (inUse() + memoryMiB > budget) return false;
    for (const [key] of unused) {
      if (used() + memoryMiB <= budget) break;
      removeFirst(key);
    }
    return true;
  };
  const tryToMake = (shape: Shape): Promise<Template | FumehoodError> => {
    const made = making
      .then(() => make(shape))
      .catch((error: unknown) => {
        const failure = new FumehoodError(factsOf(error));
        onFailure(shape, failure);
        return failure;
      });
    making = made;
    return made;
  };
  const open = (key: string, shape: Shape): Entry => {
    const first = tryToMake(shape);
    const settle = async () => {
      let made = await first;
      if (made instanceof FumehoodError && !closed) {
        entry.now = Promise.resolve(templateRetried(made));
        made = await tryToMake(shape);
        entry.now = Promise.resolve(made);
      }
      if (made instanceof FumehoodError) entry.failedUntil = clock.bootTime() + retryMs;
      else entry.madeAt = clock.bootTime();
    };
    const times = { madeAt: Number.POSITIVE_INFINITY, failedUntil: 0 };
    const entry: Entry = { memoryMiB: shape.memoryMiB, now: first, settled: settle(), ...times, users: 0 };
    entries.set(key, entry);
    return entry;
  };

  return {
    async take(shape) {
      const key = `${shape.acceleration} ${shape.cpus} ${shape.memoryMiB} ${shape.slots} ${shape.network === true} ${await inputs()}`;
      let entry = entries.get(key);
      if (entry?.failedUntil && clock.bootTime() >= entry.failedUntil) {
        entries.delete(key);
        entry = undefined;
      }
      if (entry && clock.bootTime() - entry.madeAt > ageMaxMs) {
        if (entry.users > 0) return without(templateTooOld(clock.bootTime() - entry.madeAt));
        removeFirst(key);
        entry = undefined;
      }
      if (!entry) {
        if (!makeRoom(shape.memoryMiB)) return without(noRoomForTemplate(shape.memoryMiB, budget, inUse()));
        entry = open(key, shape);
      }
      entry.users++;
      entries.delete(key);
      entries.set(key, entry);
      const template = await entry.now;
      let released = false;
      const release = () => {
        if (!released) entry.users--;
        released = true;
      };
      if (!(template instanceof FumehoodError)) return { template, release };
      release();
      return without(template);
    },
    async removeAll() {
      closed = true;
      await making;
      await Promise.allSettled([...entries.keys()].map(remove));
    },
  };
}

function without({ code, message }: FumehoodError): Taken {
  return { template: null, why: { code, message } };
}
