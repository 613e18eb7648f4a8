import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import type { ImageArchive } from './archive.ts';
import { imageInvalid } from './errors.ts';
import { readLayer } from './layer.ts';
import { normalPath, parentsOf } from './names.ts';
import { type Plan, planImage } from './plan.ts';

export interface Flattened {
  readonly tar: AsyncIterable<Uint8Array>;
  /** Members written so far. */
  entries(): number;
}

export interface FlattenLimits {
  /** What the layers may unpack to. Default 64 GiB: as much as a disk can hold. */
  readonly maxBytes?: number;
}

/**
 * All layers of an image as one tar stream, as a union mount would show them: whiteouts applied, nothing twice, files before
 * hard links to them, device nodes and pipes left out. Two passes over the archive; memory grows with the number of paths only.
 * Errors: `image_invalid`, `image_too_big`, `tar_…`.
 */
export function flattenImage(archive: ImageArchive, limits: FlattenLimits = {}): Flattened {
  const maxBytes = limits.maxBytes ?? 64 * 2 ** 30;
  let entries = 0;
  const tar = async function* () {
    const plan = await planImage(archive, { bytes: maxBytes });
    const made = new Set<string>();
    const header = function* (entry: TarEntry) {
      for (const parent of parentsOf(entry.path)) {
        if (plan.shown.get(parent)?.kind === 'directory' || made.has(parent)) continue;
        made.add(parent);
        entries += 1;
        yield tarHeader(directory(parent));
      }
      entries += 1;
      yield tarHeader(entry);
    };
    const budget = { bytes: maxBytes };
    for (const [index, layer] of archive.layers.entries()) {
      let member = -1;
      for await (const entry of readLayer(archive.file, layer, budget)) {
        member += 1;
        const [path, ...links] = plan.paths[index]?.get(member) ?? [];
        // No image needs devices and pipes.
        if (path === undefined || plan.shown.get(path)?.kind === 'device') continue;
        yield* header(entry.type === 'hardlink' ? linkDown(entry, path, index, plan) : { ...entry, path });
        if (entry.type === 'file') {
          yield* entry.body;
          yield tarPadding(entry.size);
        }
        for (const link of links)
          yield* header({ ...entry, path: link, type: 'hardlink', size: 0, linkTarget: path });
      }
    }
    yield tarEnd();
  };
  return { tar: tar(), entries: () => entries };
}

/** A hard link to a file of a lower layer; without its target sqfstar would crash. */
function linkDown(entry: TarEntry, path: string, layer: number, { shown }: Plan): TarEntry {
  const linkTarget = normalPath(entry.linkTarget ?? '');
  const target = shown.get(linkTarget);
  if (target?.kind !== 'other' || target.layer >= layer)
    throw imageInvalid(`the hard link ${path} points to a file that is not there, or was replaced later`);
  return { ...entry, path, linkTarget };
}

function directory(path: string): TarEntry {
  return { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}
