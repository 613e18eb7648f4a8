import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@glovebox/disk';
import type { ImageArchive } from './archive.ts';
import { imageInvalid } from './errors.ts';
import { readLayer } from './layer.ts';

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';
const depthMax = 200;

/** Where the winning version of a path lies. */
interface Winner {
  readonly layer: number;
  /** Which of the layer's members; a path may occur twice, the last one counts. */
  readonly member: number;
}

export interface Flattened {
  readonly tar: AsyncIterable<Uint8Array>;
  /** Members written so far. */
  entries(): number;
}

/**
 * All layers of an image as one tar stream, as a union mount would show them: whiteouts applied, nothing twice, parents before
 * children, device nodes left out. Two passes over the archive; memory grows with the number of paths only. Errors:
 * `image_invalid`, `tar_too_big`.
 */
export function flattenImage(archive: ImageArchive): Flattened {
  let entries = 0;
  const tar = async function* () {
    const winners = await findWinners(archive);
    const written = new Set<string>();
    for (const [index, layer] of archive.layers.entries()) {
      let member = -1;
      for await (const entry of readLayer(archive.file, layer, {})) {
        member += 1;
        const path = normalPath(entry.path);
        const winner = winners.get(path);
        if (winner?.layer !== index || winner.member !== member) continue;
        const missing = parentsOf(path).filter((parent) => !written.has(parent) && !winners.has(parent));
        for (const parent of missing) {
          written.add(parent);
          entries += 1;
          yield tarHeader(directory(parent));
        }
        const own = rewritten(entry, path, winners);
        if (!own) continue;
        written.add(path);
        entries += 1;
        yield tarHeader(own);
        if (own.type !== 'file') continue;
        for await (const chunk of entry.body) yield chunk;
        yield tarPadding(own.size);
      }
    }
    yield tarEnd();
  };
  return { tar: tar(), entries: () => entries };
}

/** Pass 1, top layer first: what an upper layer has, hides or replaces is not taken from a lower one. */
async function findWinners(archive: ImageArchive): Promise<Map<string, Winner>> {
  const winners = new Map<string, Winner>();
  const hidden = new Set<string>(); // by an upper layer: the path and everything below it
  const emptied = new Set<string>(); // by an upper layer: everything below the path
  for (let layer = archive.layers.length - 1; layer >= 0; layer--) {
    const own = new Map<string, Winner>();
    const nowHidden: string[] = [];
    const nowEmptied: string[] = [];
    let member = -1;
    for await (const entry of readLayer(
      archive.file,
      archive.layers[layer] as ImageArchive['layers'][number],
      {},
    )) {
      member += 1;
      const path = normalPath(entry.path);
      const name = path.slice(path.lastIndexOf('/') + 1);
      const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
      if (name === opaque) nowEmptied.push(parent);
      else if (name.startsWith(whiteout)) nowHidden.push(join(parent, name.slice(whiteout.length)));
      else if (path !== '' && !winners.has(path) && !covered(path, hidden, emptied))
        own.set(path, { layer, member });
      if (entry.type !== 'directory' && !name.startsWith(whiteout)) nowHidden.push(path);
    }
    for (const [path, winner] of own) winners.set(path, winner);
    for (const path of nowHidden) hidden.add(path);
    for (const path of nowEmptied) emptied.add(path);
  }
  return winners;
}

function covered(path: string, hidden: Set<string>, emptied: Set<string>): boolean {
  if (hidden.has(path)) return true;
  return ['', ...parentsOf(path)].some((parent) => hidden.has(parent) || emptied.has(parent));
}

/** `a`, `a/b` for `a/b/c`. */
function parentsOf(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_part, index) => parts.slice(0, index + 1).join('/'));
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

/** A member's path from the root, without dots. Errors: `image_invalid` for one that leads out. */
export function normalPath(raw: string): string {
  const parts: string[] = [];
  for (const part of raw.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..')
      throw imageInvalid(`a member leads out of the image: ${JSON.stringify(raw.slice(0, 200))}`);
    if (part.length > 255 || part.includes('\0')) throw imageInvalid('a member has an impossible name');
    parts.push(part);
  }
  if (parts.length > depthMax) throw imageInvalid('a member lies too deep');
  return parts.join('/');
}

/** The entry as it is written, or null for what no image needs: devices, pipes, and links whose target is gone. */
function rewritten(entry: TarEntry, path: string, winners: Map<string, Winner>): TarEntry | null {
  if (entry.type === 'character' || entry.type === 'block' || entry.type === 'fifo') return null;
  if (entry.type !== 'hardlink') return { ...entry, path };
  const target = normalPath(entry.linkTarget ?? '');
  // sqfstar crashes on a link without a target (measured); a union mount would show the lower file's bytes under both names.
  if (!winners.has(target))
    throw imageInvalid(`the hard link ${path} points to a file that an upper layer replaced`);
  return { ...entry, path, linkTarget: target };
}

function directory(path: string): TarEntry {
  return { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}
