import { FumehoodError, factsOf, type Clock } from '@fumehood/base';
import type { Shape, Template } from './template.ts';

/** A template for one clone, or the reason for which there is none. The caller releases it when the clone has ended. */
export type Taken =
  | { readonly template: Template; readonly release: () => void }
  | { readonly template: null; readonly why: string };

/** The templates of a host, one for each shape, in a bounded part of its memory. */
export interface Templates {
  /** Resolves with the template of this shape, which is made if there is none. Never rejects. */
  take(shape: Shape): Promise<Taken>;
  /** Removes all of them. */
  removeAll(): Promise<void>;
}

/** After a template could not be made, VMs of its shape boot for so long, ms, before it is tried again. */
export const retryMs = 60_000;

interface Entry {
  readonly memoryMiB: number;
  readonly made: Promise<Template | FumehoodError>;
  /** Boot time until which a failure stands; 0: it did not fail. */
  failedUntil: number;
  users: number;
}

/**
 * Keeps templates within `memoryMiB`. A template that does not fit takes the place of those that no clone uses, the one that was used
 * the longest time ago first. Templates are made one at a time, and one that could not be made is one failure for all who wait.
 */
export function openTemplates(options: {
  readonly memoryMiB: number;
  readonly make: (shape: Shape) => Promise<Template>;
  /** Names what a template is made from besides its shape: when it changes, the template is made again. */
  readonly inputs: () => Promise<string>;
  readonly clock: Pick<Clock, 'bootTime'>;
}): Templates {
  const { memoryMiB: budget, make, inputs, clock } = options;
  /** In the order of their last use. */
  const entries = new Map<string, Entry>();
  let making: Promise<unknown> = Promise.resolve();

  const remove = async (key: string) => {
    const entry = entries.get(key);
    entries.delete(key);
    const made = await entry?.made;
    if (made && !(made instanceof FumehoodError)) await made.remove();
  };
  const sum = (some: readonly Entry[]) => some.reduce((all, { memoryMiB }) => all + memoryMiB, 0);
  const used = () => sum([...entries.values()]);
  const inUse = () => sum([...entries.values()].filter(({ users }) => users > 0));
  /** Removes unused templates until this much fits. Returns whether it does. */
  const makeRoom = (memoryMiB: number) => {
    const unused = [...entries].filter(([, { users }]) => users === 0);
    if (inUse() + memoryMiB > budget) return false;
    for (const [key] of unused) {
      if (used() + memoryMiB <= budget) break;
      making = Promise.allSettled([making, remove(key)]);
    }
    return true;
  };
  const open = (key: string, shape: Shape): Entry => {
    const made = making.then(() => make(shape)).catch((error: unknown) => new FumehoodError(factsOf(error)));
    making = made;
    const entry: Entry = { memoryMiB: shape.memoryMiB, made, failedUntil: 0, users: 0 };
    void made.then((result) => {
      if (result instanceof FumehoodError) entry.failedUntil = clock.bootTime() + retryMs;
    });
    entries.set(key, entry);
    return entry;
  };

  return {
    async take(shape) {
      const key = `${shape.acceleration} ${shape.cpus} ${shape.memoryMiB} ${await inputs()}`;
      let entry = entries.get(key);
      if (entry?.failedUntil && clock.bootTime() >= entry.failedUntil) {
        entries.delete(key);
        entry = undefined;
      }
      if (!entry) {
        if (!makeRoom(shape.memoryMiB)) {
          const why = `no template of ${shape.memoryMiB} MiB fits: templates may use ${budget} MiB, and those in use take ${inUse()} MiB`;
          return { template: null, why };
        }
        entry = open(key, shape);
      }
      entry.users++;
      entries.delete(key);
      entries.set(key, entry);
      const template = await entry.made;
      let released = false;
      const release = () => {
        if (!released) entry.users--;
        released = true;
      };
      if (!(template instanceof FumehoodError)) return { template, release };
      release();
      return { template: null, why: `no template could be made: ${template.message}` };
    },
    async removeAll() {
      await making;
      await Promise.allSettled([...entries.keys()].map(remove));
    },
  };
}
