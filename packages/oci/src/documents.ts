import type { z } from 'zod';
import { imageInvalid } from './errors.ts';
import { type Config, configSchema } from './schema.ts';

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
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.length ? ` (at ${issue.path.join('.')})` : '';
  throw imageInvalid(`${name}: ${issue?.message ?? 'malformed'}${where}`);
}

/** Parses an image's configuration. Errors: `image_invalid`, also for an image of another platform than linux/amd64. */
export function parseConfig(bytes: Buffer): Config {
  const config = parseDocument(configSchema, bytes, 'the configuration');
  if (!isAmd64(config))
    throw imageInvalid(
      `it is for ${platformOf(config)}`,
      'Build it for linux/amd64, e.g. with `docker build --platform linux/amd64`, or copy that variant of it: `skopeo copy --override-arch amd64 …`.',
    );
  return config;
}

/** Returns whether a configuration is for linux/amd64, or does not say what it is for. */
export function isAmd64({
  os,
  architecture,
}: {
  readonly os: string;
  readonly architecture: string;
}): boolean {
  const isLinux = ['linux', ''].includes(os.toLowerCase());
  return isLinux && ['amd64', 'x86_64', 'x86-64', ''].includes(architecture.toLowerCase());
}

/** Returns what a person has to know before an image of this configuration runs, or undefined. */
export function warningOf({ os, architecture, variant }: Config): string | undefined {
  if (!os || !architecture)
    return 'the image does not say what platform it is for: it runs as an image for linux/amd64';
  const platform = platformOf({ os, architecture, variant });
  if (!['linux/amd64', 'linux/amd64/v1'].includes(platform))
    return platform.startsWith('linux/amd64/')
      ? `the image is for ${platform}: its programs may end with SIGILL on an older processor, and in an emulated VM`
      : `the image says that it is for ${platform}: it runs as an image for linux/amd64`;
  return undefined;
}

/** Returns a platform as errors show it: an image's text could have control characters. */
export function platformOf({
  os,
  architecture,
  variant,
}: Pick<Config, 'os' | 'architecture' | 'variant'>): string {
  const parts = [os || 'linux', architecture || 'unknown', ...(variant ? [variant] : [])];
  return parts.map((part) => part.replace(/[^\w.-]/g, '?').slice(0, 40)).join('/');
}

/** Returns the path of a blob in an OCI layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}
