import type { z } from 'zod';
import { imageInvalid, imageNotFound } from './errors.ts';
import { type Config, configSchema, type Descriptor, indexSchema } from './schema.ts';

/** Largest JSON document of an image that is read, bytes. */
export const documentMax = 4 * 2 ** 20;

/** Most values of a JSON document: an image has some thousands. The time for parsing depends on them more than on the bytes. */
const valuesMax = 50_000;
const separators = new Set(Buffer.from(',:[{'));

/** Parses a JSON document of an image. `name` says which one, for errors. Errors: `image_invalid`. */
export function parseDocument<T>(schema: z.ZodType<T>, bytes: Buffer, name: string): T {
  let values = 0;
  for (const byte of bytes) if (separators.has(byte)) values += 1;
  if (values > valuesMax) throw imageInvalid(`${name} has more than ${valuesMax} values`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw imageInvalid(`${name} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw imageInvalid(`${name}: ${parsed.error.issues[0]?.message ?? 'malformed'}`);
  return parsed.data;
}

/** Parses an image's configuration. Errors: `image_invalid`, also for an image of another platform than linux/amd64. */
export function parseConfig(bytes: Buffer): Config {
  const config = parseDocument(configSchema, bytes, 'the configuration');
  const { os, architecture } = config;
  if (os !== 'linux' || architecture !== 'amd64') throw imageInvalid(`it is for ${os}/${architecture}`);
  return config;
}

/** Returns the path of a blob in an OCI layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/**
 * Selects the manifest with this tag, or the only one without a tag, and follows nested indexes to linux/amd64. `readBlob` reads a
 * nested index. Errors: `image_not_found`, `image_invalid`.
 */
export async function selectManifest(
  manifests: readonly Descriptor[],
  tag: string | undefined,
  readBlob: (descriptor: Descriptor) => Promise<Buffer>,
): Promise<Descriptor> {
  const tagOf = (descriptor: Descriptor) => descriptor.annotations?.['org.opencontainers.image.ref.name'];
  const candidates = tag === undefined ? manifests : manifests.filter((one) => tagOf(one) === tag);
  if (candidates.length !== 1) {
    const tags = manifests.map(tagOf).filter((name) => name !== undefined);
    throw imageNotFound(
      tag === undefined ? `the layout holds ${manifests.length} images` : `the layout has no image ${tag}`,
      tags.length > 0 ? `Name one of: ${tags.join(', ')}.` : 'Leave out the reference.',
    );
  }
  let [chosen] = candidates as [Descriptor];
  for (let depth = 0; depth < 3 && /index|manifest\.list/.test(chosen.mediaType ?? ''); depth++) {
    const nested = parseDocument(indexSchema, await readBlob(chosen), 'a nested index').manifests;
    const match = nested.find(
      ({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64',
    );
    if (!match) throw imageInvalid('it has no variant for linux/amd64');
    chosen = match;
  }
  return chosen;
}
