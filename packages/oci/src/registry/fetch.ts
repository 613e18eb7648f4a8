import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { chmod, lstat, mkdtemp, rename, rm, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { oncePerKey, sharedDirectory } from '@fumehood/base';
import { z } from 'zod';
import { parseConfig, parseDocument, selectManifest, verified } from '../archive.ts';
import { imageInvalid, imageTooBig } from '../errors.ts';
import { digestOfFile, packBlobs } from '../pack.ts';
import { type Descriptor, manifestSchema } from '../schema.ts';
import type { RegistryAuths } from './registries.ts';
import { documentMax, type RegistryDeps, runSkopeo } from './skopeo.ts';

export interface FetchDeps extends RegistryDeps {
  /** Where archives are kept. */
  readonly cache: string;
  /** Largest sum of an image's layers as they are stored, bytes. Default 16 GiB. */
  readonly maxBytes?: number;
  /** For all layers together. Default half an hour. */
  readonly copyMs?: number;
}

/** An image of a registry: what it was when it was asked for. */
export interface FetchedImage {
  /** Of the manifest for linux/amd64. */
  readonly digest: string;
  /** An archive in the cache. */
  readonly file: string;
}

const defaultMax = 16 * 2 ** 30;
const defaultCopyMs = 1_800_000;
const askMs = 60_000;
/** What the network carries beside layers (TLS, headers, tokens, connections that broke): a part of them, and this. */
const besides = { part: 0.1, bytes: 16 * 2 ** 20 };
const copyOnce = oncePerKey<void>();

/**
 * An image as an archive, by its reference. The registry is asked with these credentials each time, whatever is cached: that
 * resolves the tag, and proves that whoever asks may have it. Layers are fetched by digest, once for all who want them, after
 * their declared sizes were found to be allowed. Errors: those of `runSkopeo`.
 */
export async function fetchImage(
  deps: FetchDeps,
  reference: string,
  auths: RegistryAuths,
  signal: AbortSignal,
): Promise<FetchedImage> {
  const name = repositoryOf(reference);
  const ask = (args: readonly string[]) => {
    const call = { reference, args: ['inspect', '--raw', ...args], auths, out: null, timeMs: askMs };
    return runSkopeo(
      deps,
      { ...call, maxBytes: documentMax + besides.bytes, fileBytes: documentMax },
      signal,
    );
  };
  const first = await ask([`docker://${askedFor(reference)}`]);
  const top = descriptorOf(first, reference);
  const document = async (wanted: Descriptor) =>
    verified(wanted, wanted === top ? first : await ask([`docker://${name}@${wanted.digest}`]));
  const chosen = await selectManifest([top], undefined, document);
  const bytes = await document(chosen);
  const manifest = parseDocument(manifestSchema, bytes, 'the manifest');
  const blobs = blobsOf(manifest, deps.maxBytes ?? defaultMax);

  const { digest } = chosen;
  const file = join(deps.cache, `image-${digest.replace(':', '-')}`);
  if (!existsSync(file)) {
    const copy = async (stop: AbortSignal) => {
      const config = await ask(['--config', `docker://${name}@${digest}`]);
      parseConfig(verified(manifest.config, config)); // before its layers are fetched
      await copyImage(deps, { name, top: { ...chosen, size: bytes.length }, blobs, auths, file }, stop);
    };
    await copyOnce(file, copy, signal);
  }
  const now = Date.now() / 1000;
  await utimes(file, now, now); // the janitor removes what was not used for long
  return { digest, file };
}

/** Without tag and digest. A colon before the last slash is a port's. */
function repositoryOf(reference: string): string {
  const [name] = reference.split('@') as [string];
  return name.replace(/:[^/:]*$/, '');
}

/** What skopeo is to ask for: it takes no tag beside a digest, which is what counts. */
function askedFor(reference: string): string {
  const digest = reference.split('@')[1];
  return digest === undefined ? reference : `${repositoryOf(reference)}@${digest}`;
}

const kindSchema = z.object({ mediaType: z.string().max(200).optional(), manifests: z.unknown().optional() });

/** Of what a reference names: a manifest, or a list of several. */
function descriptorOf(bytes: Buffer, reference: string): Descriptor {
  const kind = parseDocument(kindSchema, bytes, 'the manifest');
  const mediaType = kind.manifests === undefined ? kind.mediaType : 'application/vnd.oci.image.index.v1+json';
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const wanted = reference.split('@')[1] ?? digest;
  return { digest: wanted, size: bytes.length, ...(mediaType !== undefined && { mediaType }) };
}

/** Each blob once. Errors: `image_too_big`, by what the manifest says of them. */
function blobsOf({ config, layers }: z.infer<typeof manifestSchema>, maxBytes: number): Descriptor[] {
  if (config.size > documentMax) throw imageTooBig(`its configuration has ${config.size} bytes`);
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
  const total = sizeOf(blobs);
  if (total > maxBytes)
    throw imageTooBig(`its layers have ${total} bytes, and at most ${maxBytes} are taken`);
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
  const partial = join(deps.cache, `${basename(file)}.${basename(directory)}.partial`);
  try {
    await chmod(directory, 0o711);
    const out = join(directory, 'out');
    await sharedDirectory(out);
    const from = `${name}@${top.digest}`;
    const call = {
      reference: from,
      args: ['copy', '--quiet', '--preserve-digests', `docker://${from}`, 'dir:/out'],
      ...{ auths, out, timeMs: deps.copyMs ?? defaultCopyMs },
      maxBytes: sizeOf(blobs) * (1 + besides.part) + besides.bytes,
      fileBytes: Math.max(documentMax, ...blobs.map(({ size }) => size)),
    };
    await runSkopeo(deps, call, signal);
    const files = new Map([[top.digest, join(out, 'manifest.json')]]);
    for (const { digest } of blobs) files.set(digest, join(out, digest.slice('sha256:'.length)));
    for (const blob of [top, ...blobs]) await checkFile(files.get(blob.digest) as string, blob);
    signal.throwIfAborted();
    await pipeline(packBlobs(top, files), createWriteStream(partial, { flags: 'wx', mode: 0o600 }), {
      signal,
    });
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
    await rm(directory, { recursive: true, force: true });
  }
}

/** What lies there was written in a sandbox: nothing is taken on trust. */
async function checkFile(path: string, { digest, size }: Descriptor): Promise<void> {
  const is = await lstat(path).catch(() => null);
  if (!is?.isFile()) throw imageInvalid(`the blob ${digest} is missing`);
  if (is.size !== size) throw imageInvalid(`the blob ${digest} has another size than its manifest says`);
  if ((await digestOfFile(path)) !== digest) throw imageInvalid(`${digest} has other bytes`);
}
