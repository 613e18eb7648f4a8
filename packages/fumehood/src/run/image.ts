import { createReadStream, createWriteStream, existsSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@fumehood/client';
import { compressionOf, decompressFile, digestOfFile, openArchive, packLayout } from '@fumehood/oci';
import { imageReferenceSchema } from '@fumehood/protocol';
import { imageUnknown, usage } from '../errors.ts';
import { buildImage, imageNames } from '../images/recipes.ts';
import { markState } from '../state/marker.ts';
import type { State } from '../state/state.ts';
import { type SendProgress, reporting } from './progress.ts';

/** A parsed IMAGE argument. */
export type ImageName =
  | { readonly kind: 'layout'; readonly directory: string; readonly reference: string | undefined }
  | { readonly kind: 'archive'; readonly file: string }
  /** An image of a registry, which the executor fetches. */
  | { readonly kind: 'reference'; readonly reference: string }
  | { readonly kind: 'recipe'; readonly name: string };

/** Parses an IMAGE argument and checks that its file exists. Errors: `usage`. */
export function parseImage(text: string): ImageName {
  const [scheme, rest] = text.split(/:(.*)/s);
  if (scheme === 'oci' && rest) return parseLayout(rest);
  if (scheme === 'docker-archive' && rest) {
    const file = resolve(rest);
    if (!existsSync(file) || !statSync(file).isFile())
      throw usage(`${rest} is not a file`, 'Write the archive with `docker save -o FILE IMAGE`.');
    return { kind: 'archive', file };
  }
  if (imageNames.includes(text)) return { kind: 'recipe', name: text };
  // Without a registry or a tag it may be a slip in the name of an image that comes with Fumehood.
  if (/[/:@]/.test(text) && imageReferenceSchema.safeParse(text).success)
    return { kind: 'reference', reference: text };
  throw imageUnknown(text, imageNames);
}

/** Parses `DIR[:REF]`. If the whole text names a layout, its colons are part of the directory's name. */
function parseLayout(text: string): ImageName {
  const whole = resolve(text);
  const colon = text.lastIndexOf(':');
  const [directory, reference] =
    colon < 0 || existsSync(join(whole, 'index.json'))
      ? [whole, undefined]
      : [resolve(text.slice(0, colon)), text.slice(colon + 1)];
  if (!existsSync(join(directory, 'index.json')))
    throw usage(
      `${directory} is not an OCI layout: it has no index.json`,
      'Make one with `skopeo copy docker://IMAGE oci:DIR` or `umoci`.',
    );
  return { kind: 'layout', directory, reference };
}

/**
 * Calls `use` with an image that can be sent as it is: decompresses an archive that is compressed as a whole, and removes the result
 * at the end. Errors: `image_invalid`, `image_too_big`, and those of `use`.
 */
export async function withPlainImage<T>(
  image: ImageName,
  state: State,
  use: (plain: ImageName) => Promise<T>,
): Promise<T> {
  if (image.kind !== 'archive' || !(await compressionOf(image.file))) return use(image);
  const work = await workDirectory(state);
  try {
    const file = join(work, 'image.tar');
    return await use((await decompressFile(image.file, file)) ? { kind: 'archive', file } : image);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Reads the metadata of an image, before anything is started for it. Calls `onWarning` with what a person has to know before it runs.
 * Errors: `image_invalid`, `image_not_found`.
 */
export async function checkImage(image: ImageName, onWarning: (line: string) => void): Promise<void> {
  let warning: string | undefined;
  if (image.kind === 'archive') ({ warning } = (await openArchive(image.file)).config);
  if (image.kind === 'layout') {
    const packed = await packLayout(image.directory, image.reference);
    packed.bytes.destroy();
    ({ warning } = packed);
  }
  if (warning !== undefined) onWarning(warning);
}

/** Gets what happens to an image on its way to the instance. */
export interface ImageReport {
  /** A line for people, such as that an image is built. */
  readonly line: (text: string) => void;
  readonly progress: (progress: SendProgress) => void;
}

/**
 * Uploads a checked image to the instance unless the instance has it, building it first if it is a recipe. Returns its digest, or the reference to
 * one of a registry.
 */
export async function provideImage(
  client: Client,
  image: ImageName,
  state: State,
  report: ImageReport,
): Promise<string> {
  if (image.kind === 'reference') return image.reference;
  if (image.kind === 'recipe') {
    await mkdir(state.root, { recursive: true });
    markState(state);
    const { archive, digest } = await buildImage(image.name, state, report.line);
    return upload(client, archive, digest, report);
  }
  if (image.kind === 'archive') return upload(client, image.file, await digestOfFile(image.file), report);
  const work = await workDirectory(state);
  try {
    const file = join(work, 'image.tar');
    const { bytes } = await packLayout(image.directory, image.reference);
    await pipeline(bytes, createWriteStream(file));
    return await upload(client, file, await digestOfFile(file), report);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Makes a directory for one command. The state directory may be new: nothing is started here for an instance elsewhere. */
async function workDirectory(state: State): Promise<string> {
  await mkdir(state.root, { recursive: true });
  markState(state);
  await mkdir(state.images, { recursive: true });
  return await mkdtemp(join(state.images, '.work-'));
}

async function upload(
  client: Client,
  file: string,
  digest: string,
  { progress }: ImageReport,
): Promise<string> {
  if (await client.hasBlob(digest)) return digest;
  const { size } = statSync(file);
  const parts = createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
  const bytes = Readable.from(reporting(parts, { digest, totalBytes: size }, progress), {
    objectMode: false,
  });
  await client.putBlob(digest, bytes, size);
  return digest;
}
