import type { ReadEntry } from '@fumehood/disk';
import type { ImageArchive, ImageLayer } from './archive.ts';
import { imageInvalid, imageTooBig } from './errors.ts';
import { type Budget, readLayer } from './layer.ts';
import { meaningOf, normalPath, parentsOf } from './names.ts';

/** What a path of the image is, and where its bytes lie. */
export interface Shown {
  readonly layer: number;
  /** Number of the layer's member. A path may occur twice: the last one counts. */
  readonly member: number;
  readonly kind: 'directory' | 'device' | 'other';
}

export interface Plan {
  readonly shown: ReadonlyMap<string, Shown>;
  /** Of each layer, the paths that are a member's: several where it has hard links. */
  readonly paths: readonly ReadonlyMap<number, readonly string[]>[];
}

/** Bytes of memory that the paths of all layers may take, about; a large image has 100 MB of them. */
const memoryMax = 256 * 2 ** 20;
const memoryOfPath = 100;

/**
 * What a union mount of the layers would show: top layer first, because what an upper layer has, hides or replaces is not
 * taken from a lower one. Errors: `image_invalid`, `image_too_big`, `tar_…`.
 */
export async function planImage(archive: ImageArchive, budget: Budget): Promise<Plan> {
  const shown = new Map<string, Shown>();
  const removed = new Set<string>();
  const emptied = new Set<string>();
  const memory = { left: memoryMax };
  for (const [layer, where] of [...archive.layers.entries()].toReversed()) {
    const one = await surveyLayer(archive.file, where, budget, memory);
    for (const [path, { member, kind }] of one.own)
      if (!shown.has(path) && !covered(path, removed, emptied)) shown.set(path, { layer, member, kind });
    for (const path of one.removed) removed.add(path);
    for (const path of one.emptied) emptied.add(path);
  }
  for (const path of shown.keys())
    for (const parent of parentsOf(path))
      if ((shown.get(parent)?.kind ?? 'directory') !== 'directory')
        throw imageInvalid(`${path} lies below ${parent}, which is no directory`);
  return { shown, paths: pathsOfMembers(shown, archive.layers.length) };
}

interface Survey {
  readonly own: ReadonlyMap<string, Pick<Shown, 'member' | 'kind'>>;
  /** What the layer takes from those below it: at and below these paths, and below those. */
  readonly removed: readonly string[];
  readonly emptied: readonly string[];
}

async function surveyLayer(
  file: string,
  layer: ImageLayer,
  budget: Budget,
  memory: { left: number },
): Promise<Survey> {
  const own = new Map<string, Pick<Shown, 'member' | 'kind'>>();
  const removed: string[] = [];
  const emptied: string[] = [];
  let member = -1;
  for await (const entry of readLayer(file, layer, budget)) {
    member += 1;
    const { kind, path } = meaningOf(entry.path);
    memory.left -= path.length + memoryOfPath;
    if (memory.left < 0) throw imageTooBig('its layers have too many members');
    if (kind === 'removed') removed.push(path);
    else if (kind === 'emptied') emptied.push(path);
    else if (path !== '') {
      own.set(path, linked(entry, own) ?? { member, kind: kindOf(entry) });
      if (entry.type !== 'directory') removed.push(path);
    } else if (entry.type !== 'directory') throw imageInvalid('its root is no directory');
  }
  return { own, removed, emptied };
}

/** A hard link to a file that came before it in the layer is that file under another name. */
function linked(entry: ReadEntry, own: Survey['own']): Pick<Shown, 'member' | 'kind'> | undefined {
  if (entry.type !== 'hardlink') return undefined;
  const target = own.get(normalPath(entry.linkTarget ?? ''));
  if (target?.kind === 'directory') throw imageInvalid(`${entry.path} is a hard link to a directory`);
  return target;
}

function kindOf({ type }: ReadEntry): Shown['kind'] {
  if (type === 'directory') return type;
  return type === 'character' || type === 'block' || type === 'fifo' ? 'device' : 'other';
}

function covered(path: string, removed: ReadonlySet<string>, emptied: ReadonlySet<string>): boolean {
  if (removed.has(path)) return true;
  return ['', ...parentsOf(path)].some((parent) => removed.has(parent) || emptied.has(parent));
}

function pathsOfMembers(shown: Plan['shown'], layers: number): Map<number, string[]>[] {
  const paths = Array.from({ length: layers }, () => new Map<number, string[]>());
  for (const [path, { layer, member }] of shown) {
    const names = paths[layer]?.get(member);
    if (names) names.push(path);
    else paths[layer]?.set(member, [path]);
  }
  return paths;
}
