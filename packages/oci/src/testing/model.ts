import { type LayerMember, type Tree, treeFrom } from './image.ts';

/** A file or directory of the model; hard links are several names of one item. */
interface Item {
  type: string;
  mode: number;
  content: string;
  below: Map<string, Item>;
}

const makeItem = (type: string, mode: number, content = ''): Item => ({
  type,
  mode,
  content,
  below: new Map(),
});

const join = (...parts: string[]) => parts.filter((part) => part !== '').join('/');
const partsOf = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.');

function split(path: string): [parent: string, name: string] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)];
}

function find(root: Item, path: string): Item | undefined {
  let at: Item | undefined = root;
  for (const name of partsOf(path)) at = at?.below.get(name);
  return at;
}

/** Returns a path whose links are followed inside of the root, as umoci follows them. */
function followed(root: Item, path: string, links = 0): string {
  if (links > 40) throw new Error(`${path} is a loop`);
  let at = '';
  const parts = partsOf(path);
  for (const [index, part] of parts.entries()) {
    if (part === '..') {
      [at] = split(at);
      continue;
    }
    const next = join(at, part);
    const item = find(root, next);
    if (item?.type === 'symlink') {
      const start = item.content.startsWith('/') ? '' : at;
      return followed(root, join(start, item.content, ...parts.slice(index + 1)), links + 1);
    }
    at = next;
  }
  return at;
}

/** Removes what is at a path and below it, except for the paths that this layer has put there. */
function removeAt(root: Item, path: string, own: ReadonlySet<string>, keep: boolean): void {
  const item = find(root, path);
  if (!item) return;
  const [parent, name] = split(path);
  if (!keep && !own.has(path)) find(root, parent)?.below.delete(name);
  else for (const child of item.below.keys()) removeAt(root, join(path, child), own, false);
}

function add(
  root: Item,
  path: string,
  { type = 'file', mode = 0o644, content = '', linkTarget = '' }: LayerMember,
): void {
  const [parent, name] = split(path);
  let at = root;
  for (const part of partsOf(parent)) {
    if (!at.below.has(part)) at.below.set(part, makeItem('directory', 0o755));
    at = at.below.get(part) as Item;
    if (at.type !== 'directory') throw new Error(`${path} is below a ${at.type}`);
  }
  const before = at.below.get(name);
  if (type === 'directory' && before?.type === 'directory') before.mode = mode;
  else if (type === 'hardlink') {
    const [directory, file] = split(linkTarget);
    const target = find(root, join(followed(root, directory), file));
    if (!target || target.type === 'directory') throw new Error(`${path} links to nothing`);
    at.below.set(name, target);
  } else at.below.set(name, makeItem(type, mode, type === 'symlink' ? linkTarget : content));
}

/**
 * Returns the tree of an image by unpacking its layers one after another, as umoci does: a slow, simple reference implementation
 * that shares no code with the product. Throws for layers that umoci refuses.
 */
export function modelOf(layers: readonly (readonly LayerMember[])[]): Tree {
  const root = makeItem('directory', 0o755);
  for (const layer of layers) {
    const own = new Set<string>();
    for (const member of layer) {
      const [parent, name] = split(member.path);
      const directory = followed(root, parent);
      if (name === '.wh..wh..opq') removeAt(root, directory, own, true);
      else if (name.startsWith('.wh.')) removeAt(root, join(directory, name.slice(4)), own, false);
      else {
        const path = join(directory, name);
        add(root, path, member);
        for (let at = path; at !== ''; [at] = split(at)) own.add(at);
      }
    }
  }
  const paths = new Map<string, Item>();
  const walk = (item: Item, above: string) => {
    for (const [name, child] of item.below) {
      paths.set(join(above, name), child);
      walk(child, join(above, name));
    }
  };
  walk(root, '');
  return treeFrom(paths);
}
