import type { ReadEntry } from '@fumehood/disk';
import type { ImageArchive, ImageLayer } from './archive.ts';
import { imageInvalid } from './errors.ts';
import { type Budget, readLayer } from './layer.ts';
import { makePathTree, type PathMemory, type PathTree, spend } from './path-tree.ts';
import { normalizePath, parseMemberPath } from './paths.ts';

/** What is at a path of the image, and the layer's member that holds its content. */
export interface ImagePath {
  readonly layer: number;
  /** Number of the member in its layer. A path may occur twice in a layer: the last one counts. */
  readonly member: number;
  readonly kind: 'directory' | 'device' | 'other';
}

/** The paths of an image after all layers are applied. */
export interface ImagePlan {
  readonly tree: PathTree;
  /** By the number of the path. A directory that no layer has as a member is missing: a path below it implies it. */
  readonly contents: ReadonlyMap<number, ImagePath>;
  /** For each layer, the paths of each member: several where the layer has hard links to the member. */
  readonly memberPaths: readonly ReadonlyMap<number, readonly number[]>[];
}

/** Memory that the paths of all layers may take, bytes. An image of 500,000 files needs about 200 MB. */
const pathMemoryMax = 384 * 2 ** 20;
/** Memory for a member of a layer, bytes: measured, and rounded up. */
const memoryPerMember = 160;

/**
 * Computes what a union mount of the layers would show. It reads the top layer first, because a lower layer contributes only what
 * no upper layer has, hides or replaces. Errors: `image_invalid`, `image_too_big`, `tar_…`.
 */
export async function planImage(archive: ImageArchive, budget: Budget): Promise<ImagePlan> {
  const memory: PathMemory = { left: pathMemoryMax };
  const tree = makePathTree(memory);
  const contents = new Map<number, ImagePath>();
  const hidden = new Set<number>();
  const opaque = new Set<number>();
  const isHidden = (id: number) => {
    if (hidden.has(id)) return true;
    for (const parent of tree.parentsOf(id)) if (hidden.has(parent) || opaque.has(parent)) return true;
    return false;
  };
  for (const [layer, where] of [...archive.layers.entries()].toReversed()) {
    const changes = await surveyLayer(archive.file, where, tree, budget, memory);
    for (const [id, { member, kind }] of changes.paths)
      if (!contents.has(id) && !isHidden(id)) contents.set(id, { layer, member, kind });
    for (const id of changes.hidden) hidden.add(id);
    for (const id of changes.opaque) opaque.add(id);
  }
  for (const id of contents.keys())
    for (const parent of tree.parentsOf(id))
      if ((contents.get(parent)?.kind ?? 'directory') !== 'directory')
        throw imageInvalid(`${tree.pathOf(id)} lies below ${tree.pathOf(parent)}, which is not a directory`);
  return { tree, contents, memberPaths: pathsOfMembers(contents, archive.layers.length) };
}

/** What a layer adds to the layers below it, and what it hides in them. */
interface LayerChanges {
  readonly paths: ReadonlyMap<number, Pick<ImagePath, 'member' | 'kind'>>;
  /** Hidden together with everything below them. */
  readonly hidden: readonly number[];
  /** Directories whose contents are hidden. */
  readonly opaque: readonly number[];
}

async function surveyLayer(
  file: string,
  layer: ImageLayer,
  tree: PathTree,
  budget: Budget,
  memory: PathMemory,
): Promise<LayerChanges> {
  const paths = new Map<number, Pick<ImagePath, 'member' | 'kind'>>();
  const hidden: number[] = [];
  const opaque: number[] = [];
  let member = -1;
  for await (const entry of readLayer(file, layer, budget)) {
    member += 1;
    const { kind, path } = parseMemberPath(entry.path);
    spend(memory, memoryPerMember);
    const id = tree.add(path);
    if (kind === 'whiteout') hidden.push(id);
    else if (kind === 'opaque') opaque.push(id);
    else if (path !== '') {
      paths.set(id, hardLinkTarget(entry, tree, paths) ?? { member, kind: kindOf(entry) });
      if (entry.type !== 'directory') hidden.push(id); // a file replaces a directory of a lower layer
    } else if (entry.type !== 'directory') throw imageInvalid('its root is not a directory');
  }
  return { paths, hidden, opaque };
}

/** Returns the member that a hard link points to, if it is an earlier member of the same layer. */
function hardLinkTarget(
  entry: ReadEntry,
  tree: PathTree,
  paths: LayerChanges['paths'],
): Pick<ImagePath, 'member' | 'kind'> | undefined {
  if (entry.type !== 'hardlink') return undefined;
  const id = tree.find(normalizePath(entry.linkTarget ?? ''));
  const target = id === undefined ? undefined : paths.get(id);
  if (target?.kind === 'directory') throw imageInvalid(`${entry.path} is a hard link to a directory`);
  return target;
}

function kindOf({ type }: ReadEntry): ImagePath['kind'] {
  if (type === 'directory') return type;
  return type === 'character' || type === 'block' || type === 'fifo' ? 'device' : 'other';
}

function pathsOfMembers(contents: ImagePlan['contents'], layers: number): Map<number, number[]>[] {
  const byLayer = Array.from({ length: layers }, () => new Map<number, number[]>());
  for (const [id, { layer, member }] of contents) {
    const names = byLayer[layer]?.get(member);
    if (names) names.push(id);
    else byLayer[layer]?.set(member, [id]);
  }
  return byLayer;
}
