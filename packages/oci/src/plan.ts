import type { ReadEntry } from '@fumehood/disk';
import type { ImageArchive, ImageRoot } from './archive.ts';
import { imageInvalid } from './errors.ts';
import {
  type ImageTree,
  makeImageTree,
  type Node,
  nodesBelow,
  type PathMemory,
  spend,
} from './image-tree.ts';
import { type Budget, readLayer } from './layer.ts';
import { normalizePath, parseMemberPath, pathMax, shownPath } from './paths.ts';

/** The paths of an image after all layers are applied. */
export interface ImagePlan {
  readonly root: ImageRoot;
  /** The directories that no layer has as a member, outer ones first. */
  readonly implied: readonly Node[];
  /** For each layer, the paths of each member: several where there are hard links to the member. */
  readonly memberPaths: readonly ReadonlyMap<number, readonly Node[]>[];
}

/** Memory that the paths of all layers may take, bytes. */
const pathMemoryMax = 384 * 2 ** 20;
/** Memory for a member of a layer, bytes: measured, and rounded up. A member counts also when a later layer hides it. */
const memoryPerMember = 160;

/** Applies the layers one after another, from the bottom. Errors: `image_invalid`, `image_too_big`. */
export async function planImage(archive: ImageArchive, budget: Budget): Promise<ImagePlan> {
  const memory: PathMemory = { left: pathMemoryMax };
  const tree = makeImageTree(memory);
  let root: ImageRoot = { mode: 0o755, uid: 0, gid: 0 };
  for (const [layer, where] of archive.layers.entries()) {
    let member = -1;
    for await (const entry of readLayer(archive.file, where, budget)) {
      member += 1;
      spend(memory, memoryPerMember);
      if (apply(tree, entry, layer, member)) root = { mode: entry.mode, uid: entry.uid, gid: entry.gid };
    }
  }
  const memberPaths = archive.layers.map(() => new Map<number, Node[]>());
  const implied: Node[] = [];
  for (const node of nodesBelow(tree.root)) {
    if (!node.content) {
      implied.push(node);
      continue;
    }
    const { layer, member } = node.content;
    const names = memberPaths[layer]?.get(member);
    if (names) names.push(node);
    else memberPaths[layer]?.set(member, [node]);
  }
  return { root, implied, memberPaths };
}

/** Applies a member of a layer. Returns whether it is the root. */
function apply(tree: ImageTree, entry: ReadEntry, layer: number, member: number): boolean {
  const { kind, path } = parseMemberPath(entry.path);
  const isDirectory = entry.type === 'directory';
  if (kind === 'whiteout') tree.remove(path, layer);
  else if (kind === 'opaque') tree.clear(path, layer);
  else if (path === '' && !isDirectory) throw imageInvalid('its root is not a directory');
  else if (entry.type === 'hardlink') {
    tree.discard(path); // before its target is looked up, which may not be the link itself, or lie below it
    const { content, target } = linkedBy(tree, entry);
    tree.put(path, layer, { content, isDirectory, target });
  } else {
    const target = entry.type === 'symlink' ? checkedTarget(entry) : undefined;
    tree.put(path, layer, { content: { layer, member }, isDirectory, target });
  }
  return kind === 'content' && path === '';
}

/** Returns the file that a hard link is another name of. Errors: `image_invalid`. */
function linkedBy(
  tree: ImageTree,
  { path, linkTarget = '' }: ReadEntry,
): Pick<Node, 'target'> & { content: NonNullable<Node['content']> } {
  const node = tree.find(normalizePath(linkTarget));
  const which = `the hard link ${shownPath(path)}`;
  if (!node) throw imageInvalid(`${which} points to ${shownPath(linkTarget)}, which no layer before it has`);
  if (node.entries || !node.content) throw imageInvalid(`${which} points to a directory`);
  return { content: node.content, target: node.target };
}

/** Returns the target of a symbolic link. Errors: `image_invalid` for one that the kernel could not make. */
function checkedTarget({ path, linkTarget = '' }: ReadEntry): string {
  if (linkTarget === '' || linkTarget.length > pathMax || linkTarget.includes('\0'))
    throw imageInvalid(`the symbolic link ${shownPath(path)} has an impossible target`);
  return linkTarget;
}
