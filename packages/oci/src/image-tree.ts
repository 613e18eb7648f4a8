import { imageInvalid, imageTooBig } from './errors.ts';
import { nameMax, pathMax, shownPath, splitPath } from './paths.ts';

/** The member of a layer that holds the content of a path. */
export interface Content {
  readonly layer: number;
  /** Number of the member in its layer. */
  readonly member: number;
}

/** A path of the image. */
export interface Node {
  readonly name: string;
  readonly parent: Node | null;
  readonly depth: number;
  /** Length of the path, bytes. */
  readonly length: number;
  /** Null for a directory that no layer has as a member. Hard links have the content of the same member. */
  content: Content | null;
  /** The target of a symbolic link. */
  target: string | undefined;
  /** What is in a directory, by name; null for everything else. */
  entries: Map<string, Node> | null;
  /** The last layer that has the path, or a path below it. */
  touched: number;
  /** The last layer for which `clear` was called. */
  cleared: number;
}

/** The memory that the paths of an image may still take, in bytes. */
export interface PathMemory {
  left: number;
}

/** What is put at a path. */
export interface Put {
  readonly content: Content;
  readonly isDirectory: boolean;
  readonly target?: string | undefined;
}

/**
 * The files of an image while its layers are applied, as if they were unpacked one after another: symbolic links in the directory
 * of a path are followed, inside of the image; the last name of a path is never followed. A path costs time in proportion to its
 * own length and to the targets of the links that it follows, which are bounded.
 */
export interface ImageTree {
  readonly root: Node;
  /** Puts something at a path, and makes the directories on its way. Errors: `image_invalid`, `image_too_big`. */
  put(path: string, layer: number, what: Put): void;
  /** Returns what is at a path, or undefined. Errors: `image_invalid`, `image_too_big`. */
  find(path: string): Node | undefined;
  /** Removes a path and what is below it. */
  discard(path: string): void;
  /** Removes a path and what is below it, except for what this layer has put there. */
  remove(path: string, layer: number): void;
  /** Removes what is in a directory, except for what this layer has put there. Follows a symbolic link to the directory. */
  clear(path: string, layer: number): void;
}

/** Memory for a path, bytes: measured, and rounded up. The length of the path comes to it. */
const memoryPerPath = 220;
/** Memory that a directory takes beside its path, bytes. */
const memoryPerDirectory = 180;
/** Most links on the way of one path, as in the kernel. */
const linksMax = 40;
/** Length of all targets that the paths of an image follow, bytes: it bounds the time, and no image comes near it. */
const followedMax = 16 * 2 ** 20;
const depthMax = 200;

/** A directory on the way of a path, and the names beyond it that do not exist. */
interface Way {
  readonly at: Node;
  readonly missing: readonly string[];
  /** The path cannot exist, because this is no directory. */
  readonly blocked?: Node;
}

/** Makes a tree that has only the root. */
export function makeImageTree(memory: PathMemory): ImageTree {
  const root = makeNode(null, '', new Map());
  let followed = 0;

  const walk = (path: string): Way => {
    const rest = path.split('/').toReversed();
    const missing: string[] = [];
    let at = root;
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (missing.pop() === undefined) at = at.parent ?? root;
        continue;
      }
      const next = missing.length > 0 ? undefined : at.entries?.get(name);
      if (!next) missing.push(name);
      else if (next.target !== undefined) {
        links += 1;
        followed += next.target.length;
        if (links > linksMax)
          throw imageInvalid(
            `${shownPath(path)} follows too many symbolic links: ${shownPath(pathOf(next))} is one of a loop`,
          );
        if (followed > followedMax)
          throw imageTooBig(
            'its members lie below too many symbolic links',
            'Build the image so that its layers have the paths to which the links lead.',
          );
        if (next.target.startsWith('/')) at = root;
        for (const part of next.target.split('/').toReversed()) rest.push(part);
      } else if (next.entries) at = next;
      else return { at, missing, blocked: next };
    }
    return { at, missing };
  };

  const addTo = (parent: Node, name: string, entries: Node['entries']): Node => {
    const node = makeNode(parent, name, entries);
    if (name.length > nameMax || node.depth > depthMax || node.length > pathMax)
      throw imageInvalid(
        `the path of a member is too long: ${shownPath(pathOf(node))}`,
        `Build the image with shorter paths: at most ${depthMax} names of ${nameMax} bytes, and ${pathMax} bytes in all.`,
      );
    spend(memory, memoryOf(node));
    parent.entries?.set(name, node);
    return node;
  };

  const removeFrom = (parent: Node, node: Node) => {
    parent.entries?.delete(node.name);
    release(node, memory);
  };

  const clearNode = (node: Node, layer: number): void => {
    if (node.cleared === layer) return; // nothing was added since then that this layer has not put there
    node.cleared = layer;
    for (const child of node.entries?.values() ?? [])
      if (child.touched !== layer) removeFrom(node, child);
      else if (child.entries) clearNode(child, layer);
  };

  const find = (path: string): Node | undefined => {
    const [directory, name] = splitPath(path);
    if (name === '') return root;
    const { at, missing, blocked } = walk(directory);
    return missing.length > 0 || blocked ? undefined : at.entries?.get(name);
  };

  return {
    root,
    find,
    put(path, layer, { content, isDirectory, target }) {
      const [directory, name] = splitPath(path);
      const { at, missing, blocked } = walk(directory);
      if (blocked)
        throw imageInvalid(
          `${shownPath(path)} lies below ${shownPath(pathOf(blocked))}, which is not a directory`,
          'Build the image again: a layer has to remove a file before it puts a directory in its place.',
        );
      const parent = missing.reduce((above, one) => addTo(above, one, new Map()), at);
      const node = name === '' ? root : (parent.entries?.get(name) ?? addTo(parent, name, null));
      const before = memoryOf(node);
      if (!isDirectory || !node.entries) {
        for (const child of node.entries?.values() ?? []) release(child, memory);
        node.entries = isDirectory ? new Map() : null;
      }
      node.content = content;
      node.target = target;
      spend(memory, memoryOf(node) - before);
      for (let one: Node | null = node; one && one.touched !== layer; one = one.parent) one.touched = layer;
    },
    discard(path) {
      const node = find(path);
      if (node?.parent) removeFrom(node.parent, node);
    },
    remove(path, layer) {
      const node = find(path);
      if (!node?.parent) return;
      if (node.touched === layer) clearNode(node, layer);
      else removeFrom(node.parent, node);
    },
    clear(path, layer) {
      const { at, missing, blocked } = walk(path);
      if (missing.length === 0 && !blocked) clearNode(at, layer);
    },
  };
}

/** Returns the path of a node, without a slash at its start. */
export function pathOf(node: Node): string {
  const parts: string[] = [];
  for (let at = node; at.parent; at = at.parent) parts.push(at.name);
  return parts.toReversed().join('/');
}

/** Yields everything below a node, each directory before what is in it. */
export function* nodesBelow(node: Node): Generator<Node> {
  const rest = [...(node.entries?.values() ?? [])];
  for (let next = rest.pop(); next; next = rest.pop()) {
    yield next;
    for (const child of next.entries?.values() ?? []) rest.push(child);
  }
}

/** Counts some bytes of memory. Errors: `image_too_big`. */
export function spend(memory: PathMemory, bytes: number): void {
  memory.left -= bytes;
  if (memory.left < 0) throw imageTooBig('its layers have too many members, or too long paths');
}

/** Gives back the memory of a node that was removed, and of what is below it. */
function release(node: Node, memory: PathMemory): void {
  memory.left += memoryOf(node);
  for (const below of nodesBelow(node)) memory.left += memoryOf(below);
}

function memoryOf({ length, target, entries }: Node): number {
  return memoryPerPath + length + (target?.length ?? 0) + (entries ? memoryPerDirectory : 0);
}

function makeNode(parent: Node | null, name: string, entries: Node['entries']): Node {
  return {
    name,
    parent,
    depth: parent ? parent.depth + 1 : 0,
    length: parent ? parent.length + (parent.parent ? 1 : 0) + name.length : 0,
    content: null,
    target: undefined,
    entries,
    touched: -1,
    cleared: -1,
  };
}
