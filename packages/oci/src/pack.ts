import { createReadStream, existsSync, statSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import type { ImageConfig } from './archive.ts';
import { digestOf, digestOfFile, verifyBlob } from './digest.ts';
import { blobPath, documentMax, parseConfig, parseDocument, warningOf } from './documents.ts';
import { imageInvalid, imageNotFound } from './errors.ts';
import { type Descriptor, indexSchema } from './schema.ts';
import { oneManifest, parseManifest, selectManifest } from './select.ts';

const layoutVersion = JSON.stringify({ imageLayoutVersion: '1.0.0' });

/** An image archive as a stream. */
export interface PackedLayout {
  readonly bytes: Readable;
  /** What a person has to know before the image runs. */
  readonly warning?: string;
}

/**
 * Packs one image of an OCI layout directory into an archive stream that holds only the blobs that it needs. The same image gives
 * the same bytes. `tag` may be left out when there is one image. Errors: `image_not_found`, `image_invalid`.
 */
export async function packLayout(directory: string, tag?: string): Promise<PackedLayout> {
  if (!existsSync(join(directory, 'index.json'))) {
    throw imageNotFound(
      `${directory} is not an OCI layout: it has no index.json`,
      'Make one with `skopeo copy SOURCE oci:DIR:TAG`.',
    );
  }
  const blobFile = (descriptor: Descriptor) => {
    const file = join(directory, blobPath(descriptor.digest));
    const is = statSync(file, { throwIfNoEntry: false });
    if (!is?.isFile()) throw imageInvalid(`the blob ${descriptor.digest} is missing`);
    if (is.size !== descriptor.size) throw imageInvalid(`the blob ${descriptor.digest} has another size`);
    return file;
  };
  const document = async (descriptor: Descriptor) => {
    const file = blobFile(descriptor);
    if ((await stat(file)).size > documentMax)
      throw imageInvalid(`${descriptor.digest} is too large for a document`);
    return verifyBlob(descriptor, await readFile(file));
  };
  const index = parseDocument(indexSchema, await readFile(join(directory, 'index.json')), 'index.json');
  const documents = {
    read: document,
    config: (_manifest: Descriptor, config: Descriptor) => document(config),
  };
  const top = await selectManifest(index.manifests, tag, documents, (tags) =>
    tags.length > 1 ? `Name one of them: ${tags.map((one) => `oci:DIR:${one}`).join(', ')}.` : oneManifest,
  );
  const manifest = parseManifest(await document(top));
  const warning = warningOf(parseConfig(await document(manifest.config)));
  const blobs = new Map(
    [top, manifest.config, ...manifest.layers].map((blob) => [blob.digest, blobFile(blob)]),
  );
  return {
    bytes: Readable.from(packBlobs(top, blobs), { objectMode: false }),
    ...(warning !== undefined && { warning }),
  };
}

/** Packs one image into an archive stream. `top` is its manifest; `blobs` holds the file of every blob, also the manifest, by digest. */
export async function* packBlobs(
  top: Descriptor,
  blobs: ReadonlyMap<string, string>,
): AsyncGenerator<Buffer> {
  const { annotations: _tags, ...untagged } = top;
  yield* textFile('oci-layout', layoutVersion);
  yield* textFile('index.json', JSON.stringify({ schemaVersion: 2, manifests: [untagged] }));
  for (const [digest, file] of blobs) {
    const { size } = await stat(file);
    yield tarHeader(member(blobPath(digest), size));
    yield* createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    yield tarPadding(size);
  }
  yield tarEnd();
}

/** A member with this text. */
function* textFile(path: string, text: string): Generator<Buffer> {
  const bytes = Buffer.from(text);
  yield tarHeader(member(path, bytes.length));
  yield bytes;
  yield tarPadding(bytes.length);
}

function member(path: string, size: number) {
  return { path, type: 'file' as const, size, mode: 0o644, uid: 0, gid: 0, mtime: 0 };
}

/** Writes an image archive with one uncompressed layer. Equal input gives equal bytes. Returns the archive's SHA-256. */
export async function writeImageArchive(
  file: string,
  image: { readonly config: ImageConfig; readonly layerFile: string },
): Promise<{ readonly digest: string }> {
  const layer = { digest: await digestOfFile(image.layerFile), size: (await stat(image.layerFile)).size };
  const { env, entrypoint, cmd, user, workingDir, volumes = [], stopSignal } = image.config;
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {
        ...{ Env: env, Entrypoint: entrypoint, Cmd: cmd, User: user, WorkingDir: workingDir },
        ...(stopSignal !== undefined && { StopSignal: String(stopSignal) }),
        ...(volumes.length > 0 && { Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) }),
      },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
    }),
  );
  const type = 'application/vnd.oci.image';
  const configBlob = { mediaType: `${type}.config.v1+json`, digest: digestOf(config), size: config.length };
  const layerBlob = { mediaType: `${type}.layer.v1.tar`, ...layer };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${type}.manifest.v1+json`,
      config: configBlob,
      layers: [layerBlob],
    }),
  );
  const top = { mediaType: `${type}.manifest.v1+json`, digest: digestOf(manifest), size: manifest.length };
  const bytes = async function* () {
    yield* textFile('oci-layout', layoutVersion);
    yield* textFile('index.json', JSON.stringify({ schemaVersion: 2, manifests: [top] }));
    yield* textFile(blobPath(top.digest), manifest.toString());
    yield* textFile(blobPath(configBlob.digest), config.toString());
    yield tarHeader(member(blobPath(layer.digest), layer.size));
    yield* createReadStream(image.layerFile, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    yield tarPadding(layer.size);
    yield tarEnd();
  };
  await writeFile(file, bytes());
  return { digest: await digestOfFile(file) };
}
