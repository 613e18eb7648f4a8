import { diskSize, type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import type { ImageArchive } from './archive.ts';
import { imageInvalid } from './errors.ts';
import { readLayer } from './layer.ts';
import { normalizePath } from './paths.ts';
import { type ImagePlan, planImage } from './plan.ts';

/** A flattened image as a tar stream. */
export interface FlattenedImage {
  readonly tar: AsyncIterable<Uint8Array>;
  /** Returns the number of members written so far. */
  readonly entries: () => number;
}

/** Limits of flattening. */
export interface FlattenLimits {
  /** Largest size of the decompressed layers together, bytes. Default: `diskSize`. */
  readonly maxBytes?: number;
}

/**
 * Flattens the layers of an image into one tar stream that holds what a union mount would show: whiteouts are applied, every path
 * occurs once, files come before hard links to them, device nodes and pipes are left out. It reads the archive twice; memory grows
 * with the number of paths only. Errors: `image_invalid`, `image_too_big`, `tar_…`.
 */
export function flattenImage(archive: ImageArchive, limits: FlattenLimits = {}): FlattenedImage {
  const maxBytes = limits.maxBytes ?? diskSize;
  let entries = 0;
  const tar = async function* () {
    const plan = await planImage(archive, { bytes: maxBytes });
    const { tree, contents } = plan;
    const implied = new Set<number>();
    /** Yields the header of the entry at this path, after those of the directories that no layer has as a member. */
    const header = function* (id: number, entry: TarEntry) {
      const missing: number[] = [];
      for (const parent of tree.parentsOf(id))
        if (parent > 0 && contents.get(parent)?.kind !== 'directory' && !implied.has(parent))
          missing.push(parent);
      for (const parent of missing.toReversed()) {
        implied.add(parent);
        entries += 1;
        yield tarHeader(directory(tree.pathOf(parent)));
      }
      entries += 1;
      yield tarHeader(entry);
    };
    const budget = { bytes: maxBytes };
    for (const [index, layer] of archive.layers.entries()) {
      let member = -1;
      for await (const entry of readLayer(archive.file, layer, budget)) {
        member += 1;
        const [id, ...links] = plan.memberPaths[index]?.get(member) ?? [];
        // No image needs devices and pipes.
        if (id === undefined || contents.get(id)?.kind === 'device') continue;
        const path = tree.pathOf(id);
        yield* header(
          id,
          entry.type === 'hardlink' ? linkToLowerLayer(entry, path, index, plan) : { ...entry, path },
        );
        if (entry.type === 'file') {
          yield* entry.body;
          yield tarPadding(entry.size);
        }
        for (const link of links)
          yield* header(link, {
            ...entry,
            ...{ path: tree.pathOf(link), type: 'hardlink', size: 0, linkTarget: path },
          });
      }
    }
    yield tarEnd();
  };
  return { tar: tar(), entries: () => entries };
}

/** Returns a hard link to a file of a lower layer. Its target must have been written already: without it, sqfstar would crash. */
function linkToLowerLayer(
  entry: TarEntry,
  path: string,
  layer: number,
  { tree, contents }: ImagePlan,
): TarEntry {
  const linkTarget = normalizePath(entry.linkTarget ?? '');
  const target = contents.get(tree.find(linkTarget) ?? 0);
  if (target?.kind !== 'other' || target.layer >= layer)
    throw imageInvalid(`the hard link ${path} points to a file that is missing or replaced in a later layer`);
  return { ...entry, path, linkTarget };
}

function directory(path: string): TarEntry {
  return { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}
