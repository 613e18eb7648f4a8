import { join } from 'node:path';
import { type FileCacheUse, factsOf } from '@fumehood/base';
import * as z from 'zod';
import { digestOf, verifyBlob } from '../digest.ts';
import { documentMax, parseConfig, parseDocument } from '../documents.ts';
import { imageTooBig } from '../errors.ts';
import type { Descriptor, manifestSchema } from '../schema.ts';
import { parseManifest, selectManifest } from '../select.ts';
import { copyImage, overhead, sizeOf } from './copy.ts';
import type { FetchMemory } from './memory.ts';
import { mirrorsMissed, registryFor } from './mirrors.ts';
import type { Registries, RegistryAuths } from './registries.ts';
import { type RegistryDeps, runSkopeo } from './skopeo.ts';

/** What fetches have in common on this executor. */
export interface FetchDeps extends RegistryDeps {
  /** Directory of cached archives. */
  readonly archives: string;
  readonly cache: FileCacheUse;
  readonly memory: FetchMemory;
  /** Called with lines about the fetch: how far it is, and which mirrors did not help. */
  readonly onLine: (line: string) => void;
  /** Time between two lines about how far the fetch is, ms. Default 2 s. */
  readonly progressMs?: number;
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
const defaultProgressMs = 2_000;
const inspectMs = 60_000;

/**
 * Fetches an image as an archive. It asks the registry with these credentials every time, even when the archive is cached: that
 * resolves the tag and proves that the job may have the manifest. For a reference with a digest, which cannot move, the registry's
 * answer to the same credentials holds for a while (`FetchMemory`). An archive is cached for its repository: it is used only for a
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
  const { memory } = deps;
  const name = repositoryOf(reference);
  const questions = openQuestions(deps, reference, auths);
  const pinned = reference.includes('@') ? skopeoReference(reference) : null;
  let chosen = pinned === null ? null : memory.accepted(pinned, auths);
  if (!chosen) {
    chosen = await resolveImage(questions, reference, signal);
    if (pinned !== null) memory.accept(pinned, auths, chosen);
  }

  const top = chosen;
  const { digest } = top;
  const file = join(deps.archives, `image-${digestOf(Buffer.from(`${name} ${digest}`)).replace(':', '-')}`);
  const reporting = reportProgress(deps, reference, file);
  try {
    await deps.cache.get({
      files: [file],
      what: `the archive of ${reference}`,
      signal,
      outlivesCaller: true,
      isOwnFailure: (error) => factsOf(error).code === 'registry_unauthorized',
      async make(stop) {
        const bytes = await questions.document(top, stop);
        const manifest = parseManifest(bytes);
        const blobs = blobsOf(manifest, deps.maxBytes ?? defaultMaxBytes);
        parseConfig(await questions.config(top, manifest.config, stop)); // refuses the image before its layers are fetched
        const transfer = { receivedBytes: 0, totalBytes: sizeOf(blobs) };
        memory.transfers.set(file, transfer);
        try {
          const timeMs = deps.copyMs ?? defaultCopyMs;
          const onBytes = (received: number) => {
            transfer.receivedBytes = received;
          };
          const copy = { name, top: { ...top, size: bytes.length }, blobs, auths, file, timeMs, onBytes };
          await copyImage(questions.deps(), copy, stop);
        } finally {
          memory.transfers.delete(file);
        }
      },
    });
  } finally {
    clearInterval(reporting);
  }
  return { digest, file };
}

/** Selects the manifest for linux/amd64 of what the registry has under a reference. */
async function resolveImage(
  { document, top, config }: Questions,
  reference: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const found = descriptorOf(await top(signal), reference);
  const read = (blob: Descriptor) => document(blob, signal);
  return await selectManifest(
    [found],
    undefined,
    { read, config: (of, blob) => config(of, blob, signal) },
    () => 'Name the image by the digest of its manifest.',
  );
}

/** Requests to the registry of one image, for its documents. Each is sent at most once. */
interface Questions {
  /** Returns what the registry has under the reference: a manifest or an index. */
  readonly top: (signal: AbortSignal) => Promise<Buffer>;
  /** Returns a manifest or an index by its digest. */
  readonly document: (blob: Descriptor, signal: AbortSignal) => Promise<Buffer>;
  /** Returns the configuration of a manifest. */
  readonly config: (of: Descriptor, blob: Descriptor, signal: AbortSignal) => Promise<Buffer>;
  /** Returns how the registry is reached from now on: without mirrors that did not help. */
  readonly deps: () => RegistryDeps;
}

function openQuestions(deps: FetchDeps, reference: string, auths: RegistryAuths): Questions {
  const name = repositoryOf(reference);
  const registry = registryFor(deps.registries, name);
  const known = new Map<string, Buffer>();
  let registries: Registries = deps.registries;
  const ask = async (args: readonly string[], signal: AbortSignal) => {
    const call = { reference, args: ['inspect', '--raw', ...args], auths, out: null, timeMs: inspectMs };
    const { stdout, connected } = await runSkopeo(
      { ...deps, registries },
      { ...call, maxBytes: documentMax + overhead.bytes, fileBytes: documentMax },
      signal,
    );
    const missed = registries === deps.registries ? mirrorsMissed(registry, connected) : null;
    if (missed !== null) {
      deps.onLine(missed);
      registries = registries.map((one) => (one === registry ? { ...one, mirrors: [] } : one));
    }
    return stdout;
  };
  const remember = (bytes: Buffer) => {
    known.set(digestOf(bytes), bytes);
    return bytes;
  };
  return {
    top: async (signal) => remember(await ask([`docker://${skopeoReference(reference)}`], signal)),
    document: async (blob, signal) =>
      verifyBlob(
        blob,
        known.get(blob.digest) ?? remember(await ask([`docker://${name}@${blob.digest}`], signal)),
      ),
    config: async (of, blob, signal) =>
      verifyBlob(blob, await ask(['--config', `docker://${name}@${of.digest}`], signal)),
    deps: () => ({ ...deps, registries }),
  };
}

/** Writes a line about how far the fetch of an archive is, whoever has begun it, every few seconds until the timer is cleared. */
function reportProgress(
  { memory, onLine, progressMs = defaultProgressMs }: FetchDeps,
  reference: string,
  file: string,
): NodeJS.Timeout {
  let reported = -1;
  return setInterval(() => {
    const transfer = memory.transfers.get(file);
    if (!transfer) return;
    const { totalBytes } = transfer;
    // Besides the blobs come headers and what TLS adds.
    const receivedBytes = Math.min(transfer.receivedBytes, totalBytes);
    if (receivedBytes === reported) return;
    reported = receivedBytes;
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
    onLine(`fetching ${reference}: ${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB`);
  }, progressMs);
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

/** Returns the descriptor of a manifest or an index that the registry sent for this reference. Errors: `image_invalid`. */
function descriptorOf(bytes: Buffer, reference: string): Descriptor {
  const kind = parseDocument(kindSchema, bytes, 'the manifest');
  const mediaType = kind.manifests === undefined ? kind.mediaType : 'application/vnd.oci.image.index.v1+json';
  const digest = reference.split('@')[1] ?? digestOf(bytes);
  const found = { digest, size: bytes.length, ...(mediaType !== undefined && { mediaType }) };
  verifyBlob(found, bytes);
  return found;
}

/** Returns each blob of the manifest once. Errors: `image_too_big` for the sizes that the manifest declares. */
function blobsOf({ config, layers }: z.infer<typeof manifestSchema>, maxBytes: number): Descriptor[] {
  if (config.size > documentMax) throw imageTooBig(`its configuration has ${config.size} bytes`);
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
  const total = sizeOf(blobs);
  if (total > maxBytes) throw imageTooBig(`its layers have ${total} bytes, at most ${maxBytes} are allowed`);
  return blobs;
}
