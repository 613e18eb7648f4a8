import * as z from 'zod';
import { isAmd64, parseDocument, platformOf } from './documents.ts';
import { imageInvalid, imageNotFound } from './errors.ts';
import { configSchema, type Descriptor, indexSchema, manifestSchema } from './schema.ts';

/** How the documents of an image are read while its manifest is selected. */
export interface Documents {
  /** Reads a manifest or an index. */
  readonly read: (descriptor: Descriptor) => Promise<Buffer>;
  /** Reads the configuration of this manifest. */
  readonly config: (manifest: Descriptor, config: Descriptor) => Promise<Buffer>;
}

/** A manifest for linux/amd64. The smallest rank fits best. */
interface Match {
  readonly manifest: Descriptor;
  readonly rank: number;
}

/** What is left of a search, and what it has found besides. */
interface Search {
  /** Manifests without a platform whose configuration may still be read. */
  left: number;
  /** Other platforms, as errors show them. */
  readonly others: Set<string>;
}

const depthMax = 3;
/** Most manifests without a platform whose configuration is read. */
const unlabelledMax = 20;
/** Ranks: the platform itself; its configuration says so; its configuration does not say; then the variants, lowest first. */
const ranks = { exact: 0, configured: 1, unsaid: 2, variants: 10 };
const unknown = 1_000;

/**
 * Selects the manifest with this tag, or the only one without a tag, and follows nested indexes to linux/amd64. `remedy` says how to
 * name one of several images, which have these tags. Errors: `image_not_found`, `image_invalid`.
 */
export async function selectManifest(
  manifests: readonly Descriptor[],
  tag: string | undefined,
  documents: Documents,
  remedy: (tags: readonly string[]) => string,
): Promise<Descriptor> {
  const tagsOf = (some: readonly Descriptor[]) => [
    ...new Set(some.map(tagOf).filter((name) => name !== undefined)),
  ];
  const tagged = tag === undefined ? manifests : manifests.filter((one) => tagOf(one) === tag);
  const candidates = unique(tagged);
  if (candidates.length === 0) {
    const tags = tagsOf(manifests);
    if (tag === undefined || manifests.length === 0)
      throw imageNotFound(
        'the layout holds no image',
        'Copy an image into it: `skopeo copy SOURCE oci:DIR:TAG`.',
      );
    throw imageNotFound(
      `the layout has no image ${tag}`,
      tags.length > 0 ? `Name one of: ${tags.join(', ')}.` : 'Leave out the tag: no image of it has one.',
    );
  }
  const [first] = candidates as [Descriptor];
  // A single manifest is taken whatever its platform: its configuration decides.
  if (candidates.length === 1 && !isIndex(first)) return first;
  const search: Search = { left: unlabelledMax, others: new Set() };
  const found = await matchesOf(candidates, documents, 0, search);
  const best = Math.min(...found.map(({ rank }) => rank));
  const chosen = unique(found.filter(({ rank }) => rank === best).map(({ manifest }) => manifest));
  if (chosen.length === 1) return chosen[0] as Descriptor;
  if (chosen.length === 0) {
    const others = [...search.others].slice(0, 20).join(', ');
    throw imageInvalid(`it has no variant for linux/amd64${others && `, only for ${others}`}`, otherPlatform);
  }
  throw imageNotFound(`the layout holds ${chosen.length} images`, remedy(tagsOf(candidates)));
}

/** Parses an image's manifest. Errors: `image_invalid`. */
export function parseManifest(bytes: Buffer): z.infer<typeof manifestSchema> {
  const { schemaVersion } = parseDocument(
    z.object({ schemaVersion: z.unknown().optional() }),
    bytes,
    'the manifest',
  );
  if (schemaVersion === 1)
    throw imageInvalid(
      'its manifest has the format of Docker 1.9 and older',
      'Convert the image: `skopeo copy --format v2s2 SOURCE DESTINATION`.',
    );
  return parseDocument(manifestSchema, bytes, 'the manifest');
}

/** What to do about several images that no tag tells apart. */
export const oneManifest = 'Keep only one of them in `manifests` of its index.json, or write only one image.';

/** What to do about an image that is only for other platforms. */
export const otherPlatform =
  'Build it for linux/amd64 too, e.g. with `docker buildx build --platform linux/amd64`, or name another image.';

/** Returns the manifests that fit; of each nested index only the best one. */
async function matchesOf(
  manifests: readonly Descriptor[],
  documents: Documents,
  depth: number,
  search: Search,
): Promise<Match[]> {
  const found: Match[] = [];
  const ranked: Match[] = [];
  for (const manifest of manifests) {
    const rank = rankOf(manifest);
    if (rank !== null) ranked.push({ manifest, rank });
    else if (manifest.platform && manifest.platform.os !== 'unknown')
      search.others.add(platformOf(manifest.platform));
  }
  for (const { manifest, rank } of ranked.toSorted((one, other) => one.rank - other.rank)) {
    if (rank === unknown && found.some((one) => one.rank === ranks.exact)) break;
    if (isIndex(manifest)) {
      if (depth >= depthMax) throw imageInvalid(`its indexes are nested more than ${depthMax} deep`);
      const nested = parseDocument(indexSchema, await documents.read(manifest), 'a nested index');
      const inner = await matchesOf(nested.manifests, documents, depth + 1, search);
      const best = inner.toSorted((one, other) => one.rank - other.rank)[0];
      if (best) found.push(best);
    } else if (rank !== unknown) found.push({ manifest, rank });
    else {
      search.left -= 1;
      if (search.left < 0)
        throw imageInvalid(`its index has more than ${unlabelledMax} manifests without a platform`);
      const configured = await configuredRank(manifest, documents, search);
      if (configured !== null) found.push({ manifest, rank: configured });
    }
  }
  return found;
}

/** Returns the rank of a manifest by the platform that its index gives it, or null if that is another one. */
function rankOf({ platform }: Descriptor): number | null {
  if (!platform) return unknown;
  if (platform.architecture === '' || !isAmd64(platform)) return null;
  const { variant } = platform;
  if (variant === '' || variant === 'v1') return ranks.exact;
  return ranks.variants + (/^v\d$/.test(variant) ? Number(variant[1]) : 10);
}

/** Returns the rank of a manifest by its configuration, or null if it is for another platform, or of something else than an image. */
async function configuredRank(
  manifest: Descriptor,
  { read, config }: Documents,
  search: Search,
): Promise<number | null> {
  const parsed = manifestSchema.safeParse(parseDocument(z.unknown(), await read(manifest), 'a manifest'));
  if (!parsed.success || !isImageConfig(parsed.data.config)) return null;
  const bytes = await config(manifest, parsed.data.config);
  const platform = parseDocument(configSchema, bytes, 'a configuration');
  if (!isAmd64(platform)) {
    search.others.add(platformOf(platform));
    return null;
  }
  return platform.architecture ? ranks.configured : ranks.unsaid;
}

function isImageConfig({ mediaType }: Descriptor): boolean {
  return mediaType === undefined || /image\.config|container\.image/.test(mediaType);
}

function isIndex({ mediaType }: Descriptor): boolean {
  return /index|manifest\.list/.test(mediaType ?? '');
}

function tagOf({ annotations }: Descriptor): string | undefined {
  return annotations?.['org.opencontainers.image.ref.name'];
}

function unique(manifests: readonly Descriptor[]): Descriptor[] {
  return [...new Map(manifests.toReversed().map((one) => [one.digest, one])).values()].toReversed();
}
