import { type LayerMember, type Tree, treeFrom } from './image.ts';

/** A file or directory of the model; hard links are several names of one item. */
interface Item {
  type: string;
  mode: number;
  content: string;
  below: Map<string, Item>;
  /** A directory that no layer contains as a member: it exists while something is in it. */
  implied: boolean;
}

const makeItem = (type: string, mode: number, content = '', implied = false): Item => ({
  type,
  mode,
  content,
  below: new Map(),
  implied,
});

function find(root: Item, path: string): Item | undefined {
  let at: Item | undefined = root;
  for (const name of path.split('/').filter((part) => part !== '')) at = at?.below.get(name);
  return at;
}

function split(path: string): [parent: string, name: string] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)];
}

function removeFrom(root: Item, path: string): void {
  const [parent, name] = split(path);
  if (name === '.wh..wh..opq') find(root, parent)?.below.clear();
  else find(root, parent)?.below.delete(name.slice('.wh.'.length));
}

function add(
  root: Item,
  { path, type = 'file', mode = 0o644, content = '', linkTarget = '' }: LayerMember,
): void {
  const [parent, name] = split(path);
  let at = root;
  for (const part of parent.split('/').filter((one) => one !== '')) {
    if (!at.below.has(part)) at.below.set(part, makeItem('directory', 0o755, '', true));
    at = at.below.get(part) as Item;
    if (at.type !== 'directory') throw new Error(`${path} is below a ${at.type}`);
  }
  const before = at.below.get(name);
  if (type === 'directory' && before?.type === 'directory') Object.assign(before, { mode, implied: false });
  else if (type === 'hardlink') {
    const target = find(root, linkTarget);
    if (!target || target.type === 'directory') throw new Error(`${path} links to nothing`);
    at.below.set(name, target);
  } else at.below.set(name, makeItem(type, mode, type === 'symlink' ? linkTarget : content));
}

/**
 * Returns the tree of an image by applying its layers one after another: a slow, simple reference implementation that shares no code
 * with the product. Throws for layers that no union mount could show.
 */
export function modelOf(layers: readonly (readonly LayerMember[])[]): Tree {
  const root = makeItem('directory', 0o755);
  const isWhiteout = ({ path }: LayerMember) => split(path)[1].startsWith('.wh.');
  for (const layer of layers) {
    // Whiteouts first, in any order: they apply to the layers below.
    for (const { path } of layer.filter(isWhiteout)) removeFrom(root, path);
    for (const member of layer.filter((one) => !isWhiteout(one))) add(root, member);
  }
  const paths = new Map<string, Item>();
  const walk = (item: Item, above: string) => {
    for (const [name, child] of item.below) {
      const path = above === '' ? name : `${above}/${name}`;
      paths.set(path, child);
      const before = paths.size;
      walk(child, path);
      if (child.implied && paths.size === before) paths.delete(path);
    }
  };
  walk(root, '');
  return treeFrom(paths);
}
