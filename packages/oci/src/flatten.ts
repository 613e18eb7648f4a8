import { diskSize, type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import type { ImageArchive, ImageRoot } from './archive.ts';
import { pathOf } from './image-tree.ts';
import { readLayer } from './layer.ts';
import { planImage } from './plan.ts';

/** A flattened image as a tar stream. */
export interface FlattenedImage {
  /** The root directory, which is no member of the tar: sqfstar ignores one. */
  readonly root: ImageRoot;
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
 * Flattens the layers of an image into one tar stream that holds what unpacking them one after another would give: whiteouts are
 * applied, every path occurs once, files come before hard links to them. It reads the archive twice, first to learn what is at each
 * path in the end; memory grows with the number of paths only. Errors, also of the stream: `image_invalid`, `image_too_big`.
 */
export async function flattenImage(
  archive: ImageArchive,
  limits: FlattenLimits = {},
): Promise<FlattenedImage> {
  const maxBytes = limits.maxBytes ?? diskSize;
  const plan = await planImage(archive, { bytes: maxBytes });
  let entries = 0;
  const header = (entry: TarEntry) => {
    entries += 1;
    return tarHeader(entry);
  };
  const tar = async function* () {
    for (const node of plan.implied) yield header(directory(pathOf(node)));
    const budget = { bytes: maxBytes };
    for (const [index, layer] of archive.layers.entries()) {
      let member = -1;
      for await (const entry of readLayer(archive.file, layer, budget)) {
        member += 1;
        const [first, ...links] = plan.memberPaths[index]?.get(member) ?? [];
        if (!first) continue;
        const path = pathOf(first);
        yield header({ ...entry, path });
        if (entry.type === 'file') {
          yield* entry.body;
          yield tarPadding(entry.size);
        }
        for (const link of links)
          yield header({ ...entry, path: pathOf(link), type: 'hardlink', size: 0, linkTarget: path });
      }
    }
    yield tarEnd();
  };
  return { root: plan.root, tar: tar(), entries: () => entries };
}

function directory(path: string): TarEntry {
  return { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}
