import { createWriteStream } from 'node:fs';
import { chmod, type FileHandle, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type FileCacheUse, factsOf, openOutput, removeTree, sharedDirectory } from '@fumehood/base';
import * as z from 'zod';
import { digestOf, digestOfFile, verifyBlob } from '../digest.ts';
import { documentMax, parseConfig, parseDocument } from '../documents.ts';
import { imageInvalid, imageTooBig } from '../errors.ts';
import { packBlobs } from '../pack.ts';
import type { Descriptor, manifestSchema } from '../schema.ts';
import { parseManifest, selectManifest } from '../select.ts';
import type { RegistryAuths } from './registries.ts';
import { type RegistryDeps, runSkopeo } from './skopeo.ts';

/** What fetches have in common on this executor. */
export interface FetchDeps extends RegistryDeps {
  /** Directory of cached archives. */
  readonly archives: string;
  readonly cache: FileCacheUse;
  /** Largest size of an image's compressed layers together, bytes. Default 16 GiB. */
  readonly maxBytes?: number;
  /** Time limit for fetching all layers, ms. Default half an hour. */
  readonly copyMs?: number;
}

/** An image as the registry had it at the time of the request. */
export interface FetchedImage {
  /** Digest of the manifest for linux/amd64. */
  readonly digest: string;
  /** Path of the archive in the cache. */
  readonly file: string;
}

const defaultMaxBytes = 16 * 2 ** 30;
const defaultCopyMs = 1_800_000;
const inspectMs = 60_000;
/** Network traffic beyond the layers (TLS, headers, tokens, broken connections): a share of the layers, plus a constant. */
const overhead = { share: 0.1, bytes: 16 * 2 ** 20 };
/** Programs under the profile, which have this process's group, read it. No other user can enter the directory. */
const archiveMode = 0o640;

/**
 * Fetches an image as an archive. It asks the registry with these credentials every time, even when the archive is cached: that
 * resolves the tag and proves that the job may have the manifest. An archive is cached for its repository: it is used only for a
 * repository from which all of its layers were fetched once. Otherwise a registry of the attacker could send the manifest of somebody
 * else's image, which names its layers, and would get the layers from this cache. So a registry is trusted in one thing, which is how
 * registries work: who may read a manifest in a repository may read the layers that this repository has. Layers are fetched by
 * digest, once for all concurrent callers, after their declared sizes have passed the limit. Errors: those of `runSkopeo`,
 * `output_refused`.
 */
export async function fetchImage(
  deps: FetchDeps,
  reference: string,
  auths: RegistryAuths,
  signal: AbortSignal,
): Promise<FetchedImage> {
  const name = repositoryOf(reference);
  const inspect = async (args: readonly string[], stop = signal) => {
    const call = { reference, args: ['inspect', '--raw', ...args], auths, out: null, timeMs: inspectMs };
    const { stdout } = await runSkopeo(
      deps,
      { ...call, maxBytes: documentMax + overhead.bytes, fileBytes: documentMax },
      stop,
    );
    return stdout;
  };
  const topBytes = await inspect([`docker://${skopeoReference(reference)}`]);
  const top = descriptorOf(topBytes, reference);
  const document = async (blob: Descriptor) =>
    verifyBlob(blob, blob === top ? topBytes : await inspect([`docker://${name}@${blob.digest}`]));
  const configOf = async (of: Descriptor, config: Descriptor, stop = signal) =>
    verifyBlob(config, await inspect(['--config', `docker://${name}@${of.digest}`], stop));
  const chosen = await selectManifest([top], undefined, { read: document, config: configOf }, () => {
    return 'Name the image by the digest of its manifest.';
  });
  const bytes = await document(chosen);
  const manifest = parseManifest(bytes);
  const blobs = blobsOf(manifest, deps.maxBytes ?? defaultMaxBytes);

  const { digest } = chosen;
  const file = join(deps.archives, `image-${digestOf(Buffer.from(`${name} ${digest}`)).replace(':', '-')}`);
  await deps.cache.get({
    files: [file],
    what: `the archive of ${reference}`,
    signal,
    outlivesCaller: true,
    isOwnFailure: (error) => factsOf(error).code === 'registry_unauthorized',
    async make(stop) {
      parseConfig(await configOf(chosen, manifest.config, stop)); // refuses the image before its layers are fetched
      await copyImage(deps, { name, top: { ...chosen, size: bytes.length }, blobs, auths, file }, stop);
    },
  });
  return { digest, file };
}

/** Returns a reference without its tag and digest. A colon before the last slash belongs to a port. */
function repositoryOf(reference: string): string {
  const [name] = reference.split('@') as [string];
  return name.replace(/:[^/:]*$/, '');
}

/** Returns a reference as skopeo accepts it: without the tag if there is a digest, which decides. */
function skopeoReference(reference: string): string {
  const digest = reference.split('@')[1];
  return digest === undefined ? reference : `${repositoryOf(reference)}@${digest}`;
}

const kindSchema = z.object({ mediaType: z.string().max(200).optional(), manifests: z.unknown().optional() });

/** Returns the descriptor of a manifest or an index that the registry sent for this reference. */
function descriptorOf(bytes: Buffer, reference: string): Descriptor {
  const kind = parseDocument(kindSchema, bytes, 'the manifest');
  const mediaType = kind.manifests === undefined ? kind.mediaType : 'application/vnd.oci.image.index.v1+json';
  const digest = reference.split('@')[1] ?? digestOf(bytes);
  return { digest, size: bytes.length, ...(mediaType !== undefined && { mediaType }) };
}

/** Returns each blob of the manifest once. Errors: `image_too_big` for the sizes that the manifest declares. */
function blobsOf({ config, layers }: z.infer<typeof manifestSchema>, maxBytes: number): Descriptor[] {
  if (config.size > documentMax) throw imageTooBig(`its configuration has ${config.size} bytes`);
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
  const total = sizeOf(blobs);
  if (total > maxBytes) throw imageTooBig(`its layers have ${total} bytes, at most ${maxBytes} are allowed`);
  return blobs;
}

function sizeOf(blobs: readonly Descriptor[]): number {
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

interface Copy {
  readonly name: string;
  readonly top: Descriptor;
  readonly blobs: readonly Descriptor[];
  readonly auths: RegistryAuths;
  readonly file: string;
}

async function copyImage(deps: FetchDeps, copy: Copy, signal: AbortSignal): Promise<void> {
  const { name, top, blobs, auths, file } = copy;
  const directory = await mkdtemp(join(deps.work, 'image-'));
  const partial = join(deps.archives, `${basename(file)}.${basename(directory)}.partial`);
  const open: FileHandle[] = [];
  try {
    await chmod(directory, 0o710); // skopeo, which has this process's group, must get through
    const out = join(directory, 'out');
    await sharedDirectory(out);
    const from = `${name}@${top.digest}`;
    const call = {
      reference: from,
      args: ['copy', '--quiet', '--preserve-digests', `docker://${from}`, 'dir:/out'],
      ...{ auths, out, timeMs: deps.copyMs ?? defaultCopyMs },
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

/** Checks a file that skopeo wrote: it ran in a sandbox and is not trusted. Errors: `image_invalid`. */
async function checkFile(path: string, { digest, size }: Descriptor): Promise<void> {
  if ((await stat(path)).size !== size)
    throw imageInvalid(`the blob ${digest} has another size than its manifest says`);
  if ((await digestOfFile(path)) !== digest) throw imageInvalid(`${digest} has other bytes`);
}
