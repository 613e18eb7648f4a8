import { createWriteStream } from 'node:fs';
import { chmod, type FileHandle, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openOutput, removeTree, sharedDirectory } from '@fumehood/base';
import { digestOfFile } from '../digest.ts';
import { documentMax } from '../documents.ts';
import { imageInvalid } from '../errors.ts';
import { packBlobs } from '../pack.ts';
import type { Descriptor } from '../schema.ts';
import type { RegistryAuths } from './registries.ts';
import { type RegistryDeps, runSkopeo } from './skopeo.ts';

/** An image that is copied to an archive. */
interface Copy {
  /** The repository. */
  readonly name: string;
  readonly top: Descriptor;
  /** Its configuration and layers, each once. */
  readonly blobs: readonly Descriptor[];
  readonly auths: RegistryAuths;
  /** The path of the archive. */
  readonly file: string;
  /** Time limit, ms. */
  readonly timeMs: number;
  /** Called with the number of bytes that have arrived so far. */
  readonly onBytes: (bytes: number) => void;
}

/** Network traffic beyond the layers (TLS, headers, tokens, broken connections): a share of the layers, plus a constant. */
export const overhead = { share: 0.1, bytes: 16 * 2 ** 20 };
/** Programs under the profile, which have this process's group, read it. No other user can enter the directory. */
const archiveMode = 0o640;

/** Copies an image from its registry to an archive, complete or not at all. Errors: those of `runSkopeo`, `output_refused`. */
export async function copyImage(deps: RegistryDeps, copy: Copy, signal: AbortSignal): Promise<void> {
  const { name, top, blobs, auths, file, timeMs, onBytes } = copy;
  const directory = await mkdtemp(join(deps.work, 'image-'));
  const partial = `${file}.${basename(directory)}.partial`;
  const open: FileHandle[] = [];
  try {
    await chmod(directory, 0o710); // skopeo, which has this process's group, must get through
    const out = join(directory, 'out');
    await sharedDirectory(out);
    const from = `${name}@${top.digest}`;
    const call = {
      reference: from,
      args: ['copy', '--quiet', '--preserve-digests', `docker://${from}`, 'dir:/out'],
      ...{ auths, out, timeMs, onBytes },
      maxBytes: sizeOf(blobs) * (1 + overhead.share) + overhead.bytes,
      fileBytes: Math.max(documentMax, ...blobs.map(({ size }) => size)),
    };
    const { uid } = await runSkopeo(deps, call, signal);
    const files = new Map<string, string>();
    for (const blob of [top, ...blobs]) {
      const written = blob === top ? 'manifest.json' : blob.digest.slice('sha256:'.length);
      const opened = await openOutput(out, written, { uid, maxBytes: blob.size });
      open.push(opened);
      const path = `/proc/self/fd/${opened.fd}`; // the same file, whatever its name leads to
      await checkFile(path, blob);
      files.set(blob.digest, path);
    }
    signal.throwIfAborted();
    await pipeline(packBlobs(top, files), createWriteStream(partial, { flags: 'wx', mode: 0o600 }), {
      signal,
    });
    await chmod(partial, archiveMode);
    await rename(partial, file);
  } finally {
    for (const file of open) await file.close();
    await rm(partial, { force: true });
    await removeTree(deps.spawn, directory);
  }
}

/** Returns the size of blobs together, bytes. */
export function sizeOf(blobs: readonly Descriptor[]): number {
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

/** Checks a file that skopeo wrote: it ran in a sandbox and is not trusted. Errors: `image_invalid`. */
async function checkFile(path: string, { digest, size }: Descriptor): Promise<void> {
  if ((await stat(path)).size !== size)
    throw imageInvalid(`the blob ${digest} has another size than its manifest says`);
  if ((await digestOfFile(path)) !== digest) throw imageInvalid(`${digest} has other bytes`);
}
