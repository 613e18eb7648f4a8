import type { ReadEntry } from '@fumehood/disk';
import type { ImageArchive, ImageLayer } from './archive.ts';
import { imageInvalid, imageTooBig } from './errors.ts';
import { type Budget, readLayer } from './layer.ts';
import { normalizePath, parentsOf, parseMemberPath } from './paths.ts';

/** A path of the image, and the layer's member that holds its content. */
export interface ImagePath {
  readonly layer: number;
  /** Number of the member in its layer. A path may occur twice in a layer: the last one counts. */
  readonly member: number;
  readonly kind: 'directory' | 'device' | 'other';
}

/** The paths of an image after all layers are applied. */
export interface ImagePlan {
  readonly paths: ReadonlyMap<string, ImagePath>;
  /** For each layer, the paths of each member: several where the layer has hard links to the member. */
  readonly memberPaths: readonly ReadonlyMap<number, readonly string[]>[];
}

/** Memory that the paths of all layers may take, bytes (an estimate); a large image needs 100 MB. */
const memoryMax = 256 * 2 ** 20;
const memoryPerPath = 100;

/**
 * Computes what a union mount of the layers would show. It reads the top layer first, because a lower layer contributes only what
 * no upper layer has, hides or replaces. Errors: `image_invalid`, `image_too_big`, `tar_…`.
 */
export async function planImage(archive: ImageArchive, budget: Budget): Promise<ImagePlan> {
  const paths = new Map<string, ImagePath>();
  const hidden = new Set<string>();
  const opaque = new Set<string>();
  const memory = { left: memoryMax };
  for (const [layer, where] of [...archive.layers.entries()].toReversed()) {
    const changes = await surveyLayer(archive.file, where, budget, memory);
    for (const [path, { member, kind }] of changes.paths)
      if (!paths.has(path) && !isHidden(path, hidden, opaque)) paths.set(path, { layer, member, kind });
    for (const path of changes.hidden) hidden.add(path);
    for (const path of changes.opaque) opaque.add(path);
  }
  for (const path of paths.keys())
    for (const parent of parentsOf(path))
      if ((paths.get(parent)?.kind ?? 'directory') !== 'directory')
        throw imageInvalid(`${path} lies below ${parent}, which is not a directory`);
  return { paths, memberPaths: pathsOfMembers(paths, archive.layers.length) };
}

/** What a layer adds to the layers below it, and what it hides in them. */
interface LayerChanges {
  readonly paths: ReadonlyMap<string, Pick<ImagePath, 'member' | 'kind'>>;
  /** Hidden together with everything below them. */
  readonly hidden: readonly string[];
  /** Directories whose contents are hidden. */
  readonly opaque: readonly string[];
}

async function surveyLayer(
  file: string,
  layer: ImageLayer,
  budget: Budget,
  memory: { left: number },
): Promise<LayerChanges> {
  const paths = new Map<string, Pick<ImagePath, 'member' | 'kind'>>();
  const hidden: string[] = [];
  const opaque: string[] = [];
  let member = -1;
  for await (const entry of readLayer(file, layer, budget)) {
    member += 1;
    const { kind, path } = parseMemberPath(entry.path);
    memory.left -= path.length + memoryPerPath;
    if (memory.left < 0) throw imageTooBig('its layers have too many members');
    if (kind === 'whiteout') hidden.push(path);
    else if (kind === 'opaque') opaque.push(path);
    else if (path !== '') {
      paths.set(path, hardLinkTarget(entry, paths) ?? { member, kind: kindOf(entry) });
      if (entry.type !== 'directory') hidden.push(path); // a file replaces a directory of a lower layer
    } else if (entry.type !== 'directory') throw imageInvalid('its root is not a directory');
  }
  return { paths, hidden, opaque };
}

/** Returns the member that a hard link points to, if it is an earlier member of the same layer. */
function hardLinkTarget(
  entry: ReadEntry,
  paths: LayerChanges['paths'],
): Pick<ImagePath, 'member' | 'kind'> | undefined {
  if (entry.type !== 'hardlink') return undefined;
  const target = paths.get(normalizePath(entry.linkTarget ?? ''));
  if (target?.kind === 'directory') throw imageInvalid(`${entry.path} is a hard link to a directory`);
  return target;
}

function kindOf({ type }: ReadEntry): ImagePath['kind'] {
  if (type === 'directory') return type;
  return type === 'character' || type === 'block' || type === 'fifo' ? 'device' : 'other';
}

function isHidden(path: string, hidden: ReadonlySet<string>, opaque: ReadonlySet<string>): boolean {
  if (hidden.has(path)) return true;
  return ['', ...parentsOf(path)].some((parent) => hidden.has(parent) || opaque.has(parent));
}

function pathsOfMembers(paths: ImagePlan['paths'], layers: number): Map<number, string[]>[] {
  const byLayer = Array.from({ length: layers }, () => new Map<number, string[]>());
  for (const [path, { layer, member }] of paths) {
    const names = byLayer[layer]?.get(member);
    if (names) names.push(path);
    else byLayer[layer]?.set(member, [path]);
  }
  return byLayer;
}
