import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readTar, type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import type { ImageArchive } from '../archive.ts';
import { digestOf } from '../digest.ts';
import { type FlattenLimits, flattenImage } from '../flatten.ts';

export type LayerMember = Pick<TarEntry, 'path'> & Partial<TarEntry> & { readonly content?: string };

const plain = { type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const;

/** Returns an uncompressed layer. */
export function layerOf(...members: readonly LayerMember[]): Buffer {
  const written = members.map(({ content = '', ...facts }) => {
    const bytes = Buffer.from(content, 'latin1');
    const header = tarHeader({ ...plain, size: bytes.length, ...facts });
    return Buffer.concat([header, bytes, tarPadding(bytes.length)]);
  });
  return Buffer.concat([...written, tarEnd()]);
}

/** Returns a layer with one member that has these pax records, in this order. */
export function layerWithRecords(
  records: readonly (readonly [string, string])[],
  member: LayerMember,
): Buffer {
  const lines = records.map(([key, value]) => {
    const rest = key.length + value.length + 3;
    return `${rest + String(rest + 2).length} ${key}=${value}\n`;
  });
  const extension = layerOf({ path: 'pax', content: lines.join('') }).subarray(0, -1_024);
  extension.write('x', 156);
  extension.fill(' ', 148, 156);
  const sum = extension.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  extension.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([extension, layerOf(member)]);
}

export const file = (path: string, content = path, mode = 0o644): LayerMember => ({ path, content, mode });
export const directory = (path: string, mode = 0o755): LayerMember => ({ path, type: 'directory', mode });
export const symlink = (path: string, linkTarget: string): LayerMember => ({
  path,
  type: 'symlink',
  linkTarget,
});
export const hardlink = (path: string, linkTarget: string): LayerMember => ({
  path,
  type: 'hardlink',
  linkTarget,
});

/** The files of an image, by name: a test may change them before they are packed. */
export type ImageFiles = Map<string, Buffer>;

interface ImageFacts {
  readonly architecture?: string;
  readonly config?: object;
  /** As they are stored, where that is not as they are. */
  readonly packed?: (layer: Buffer) => Buffer;
  readonly layerType?: string;
  readonly tag?: string;
}

function configOf(layers: readonly Buffer[], { architecture = 'amd64', config = {} }: ImageFacts): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map(digestOf) };
  return Buffer.from(JSON.stringify({ architecture, os: 'linux', config, rootfs }));
}

/** Returns the files of an OCI layout. */
export function layoutFiles(layers: readonly Buffer[], facts: ImageFacts = {}): ImageFiles {
  const files: ImageFiles = new Map();
  const blob = (bytes: Buffer, mediaType: string) => {
    files.set(`blobs/${digestOf(bytes).replace(':', '/')}`, bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const { packed = (layer) => layer, layerType = 'application/vnd.oci.image.layer.v1.tar', tag } = facts;
  const manifest = {
    schemaVersion: 2,
    config: blob(configOf(layers, facts), 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => blob(packed(layer), layerType)),
  };
  const top = blob(Buffer.from(JSON.stringify(manifest)), 'application/vnd.oci.image.manifest.v1+json');
  const annotations = tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag };
  files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  files.set('index.json', json({ schemaVersion: 2, manifests: [{ ...top, annotations }] }));
  return files;
}

/** Returns the files of a `docker save` archive. */
export function dockerFiles(layers: readonly Buffer[], facts: ImageFacts = {}): ImageFiles {
  const { packed = (layer) => layer, tag = 'test:latest' } = facts;
  const names = layers.map((_layer, index) => `layer-${index}/layer.tar`);
  const files: ImageFiles = new Map(layers.map((layer, index) => [names[index] as string, packed(layer)]));
  files.set('config.json', configOf(layers, facts));
  return files.set('manifest.json', json([{ Config: 'config.json', RepoTags: [tag], Layers: names }]));
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Returns the digest of the only manifest of a layout, and the name of its file. */
export function manifestOf(files: ImageFiles): { readonly name: string; readonly digest: string } {
  const index = JSON.parse(String(files.get('index.json'))) as { manifests: { digest: string }[] };
  const { digest } = index.manifests[0] as { digest: string };
  return { name: `blobs/${digest.replace(':', '/')}`, digest };
}

/** Changes the manifest of a layout and every reference to it, so that all digests are valid. */
export function withManifest(files: ImageFiles, change: (manifest: Manifest) => void): ImageFiles {
  const { name } = manifestOf(files);
  const manifest = JSON.parse(String(files.get(name))) as Manifest;
  change(manifest);
  const bytes = json(manifest);
  const top = { digest: digestOf(bytes), size: bytes.length };
  files.delete(name);
  files.set(`blobs/${top.digest.replace(':', '/')}`, bytes);
  return files.set('index.json', json({ schemaVersion: 2, manifests: [top] }));
}

interface Manifest {
  config: { mediaType?: string; digest: string; size: number };
  layers: { mediaType?: string; digest: string; size: number }[];
}

/** Writes the files as an archive to `path`. */
export function writeArchive(path: string, files: ImageFiles): string {
  const members = [...files].map(([name, bytes]) => ({ path: name, content: bytes.toString('latin1') }));
  writeFileSync(path, layerOf(...members));
  return path;
}

/** Writes the files as a directory to `path`. */
export function writeLayout(path: string, files: ImageFiles): string {
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
  return path;
}

/** A path of a tree; `file` is the first path of the same file: its own path if it has no hard links. */
export interface Node {
  readonly type: string;
  readonly mode: number;
  readonly content: string;
  readonly file: string;
}
export type Tree = Record<string, Node>;

/** Returns a tree from paths; hard links share one node object. */
export function treeFrom(paths: ReadonlyMap<string, Omit<Node, 'file'>>): Tree {
  const first = new Map<unknown, string>();
  const sorted = [...paths].sort(([one], [other]) => (one < other ? -1 : 1));
  for (const [path, node] of sorted) if (!first.has(node)) first.set(node, path);
  return Object.fromEntries(
    sorted.map(([path, node]) => {
      const { type, mode, content } = node;
      return [path, { type, mode, content, file: first.get(node) as string }];
    }),
  );
}

/** Flattens an image and returns it as a tree. */
export async function treeOf(archive: ImageArchive, limits: FlattenLimits = {}): Promise<Tree> {
  const { tar } = await flattenImage(archive, limits);
  const paths = new Map<string, Omit<Node, 'file'>>();
  for await (const { path, type, mode, linkTarget = '', body } of readTar(tar)) {
    if (paths.has(path)) throw new Error(`${path} occurs twice`);
    const target = paths.get(linkTarget);
    if (type === 'hardlink' && !target) throw new Error(`${path} comes before its target`);
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(Buffer.from(chunk));
    const content = type === 'symlink' ? linkTarget : Buffer.concat(chunks).toString('latin1');
    paths.set(path, type === 'hardlink' && target ? target : { type, mode, content });
  }
  return treeFrom(paths);
}
