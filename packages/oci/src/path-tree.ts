import { imageTooBig } from './errors.ts';

/**
 * The paths of an image, each with a number. A path costs time in proportion to its own length, and a directory is stored once,
 * however many paths lie below it: an image of deep paths costs no more than one of flat paths of the same length.
 */
export interface PathTree {
  /** Returns the number of a normalized path. Adds it, and the directories on its way. Errors: `image_too_big`. */
  add(path: string): number;
  /** Returns the number of a normalized path that was added, on its own or on the way to another one. */
  find(path: string): number | undefined;
  pathOf(id: number): string;
  /** Yields the directories that a path lies in, from the innermost one to the root, which has the number 0. */
  parentsOf(id: number): Generator<number>;
}

/** The memory that the paths of an image may still take, in bytes. */
export interface PathMemory {
  left: number;
}

/** Memory for a path of the tree beside its name, bytes: measured, and rounded up. */
const memoryPerPath = 200;

/** Makes a tree that has only the root. A directory that is added on the way counts with its whole path, because it is written later. */
export function makePathTree(memory: PathMemory): PathTree {
  const ids = new Map<string, number>();
  const names = [''];
  const parents = [-1];
  const keyOf = (parent: number, name: string) => `${parent}/${name}`;
  const parentsOf = function* (id: number) {
    for (let at = parents[id] as number; at >= 0; at = parents[at] as number) yield at;
  };
  return {
    add(path) {
      let id = 0;
      let length = 0;
      for (const name of path === '' ? [] : path.split('/')) {
        length += name.length + 1;
        const key = keyOf(id, name);
        const known = ids.get(key);
        if (known === undefined) {
          spend(memory, memoryPerPath + length);
          ids.set(key, names.length);
          parents.push(id);
          id = names.push(name) - 1;
        } else id = known;
      }
      return id;
    },
    find(path) {
      let id: number | undefined = 0;
      for (const name of path === '' ? [] : path.split('/')) {
        id = ids.get(keyOf(id, name));
        if (id === undefined) return undefined;
      }
      return id;
    },
    pathOf(id) {
      const parts = [names[id] as string];
      for (const parent of parentsOf(id)) if (parent > 0) parts.push(names[parent] as string);
      return parts.toReversed().join('/');
    },
    parentsOf,
  };
}

/** Counts some bytes of memory. Errors: `image_too_big`. */
export function spend(memory: PathMemory, bytes: number): void {
  memory.left -= bytes;
  if (memory.left < 0) throw imageTooBig('its layers have too many members, or too long paths');
}
