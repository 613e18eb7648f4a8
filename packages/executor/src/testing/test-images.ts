import { execFileSync } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { type ImageConfig, writeImageArchive } from '@fumehood/oci';
import { cached } from './test-guest.ts';

const applets = [
  'sh',
  'cat',
  'echo',
  'env',
  'id',
  'ls',
  'sleep',
  'touch',
  'head',
  'hostname',
  'pwd',
  'tail',
  'test',
];

/** A file, or something else, that is added to an image. */
export interface ImageFile {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
  /** Default: a file of root. */
  readonly type?: TarEntry['type'];
  readonly uid?: number;
}

/** Writes an image archive with Debian's static busybox and a user `worker` (1000). Needs apt's package lists. */
export async function busyboxImage(
  directory: string,
  name: string,
  config: Partial<ImageConfig> = {},
  files: readonly ImageFile[] = [],
): Promise<{ file: string; digest: string }> {
  const file = join(directory, `${name}.tar`);
  const layerFile = join(directory, `${name}.layer`);
  const passwd = 'root:x:0:0::/root:/bin/sh\nworker:x:1000:1000::/home/worker:/bin/sh\n';
  const contents: ImageFile[] = [
    { path: 'bin/busybox', content: await busybox(), mode: 0o755 },
    { path: 'etc/passwd', content: Buffer.from(passwd), mode: 0o644 },
    { path: 'etc/group', content: Buffer.from('root:x:0:\nworker:x:1000:\n'), mode: 0o644 },
    ...files,
  ];
  const tar = function* () {
    for (const { path, content, mode, type = 'file', uid = 0 } of contents) {
      const header = tarHeader({ path, type, size: content.length, mode, uid, gid: uid, mtime: 0 });
      yield Buffer.concat([header, content, tarPadding(content.length)]);
    }
    for (const applet of applets)
      yield tarHeader({
        path: `bin/${applet}`,
        type: 'symlink',
        linkTarget: 'busybox',
        size: 0,
        mode: 0o777,
        uid: 0,
        gid: 0,
        mtime: 0,
      });
    yield tarEnd();
  };
  await pipeline(Readable.from(tar()), createWriteStream(layerFile));
  const image = { env: [], entrypoint: [], cmd: ['sh'], user: '', workingDir: '/', ...config };
  return { file, ...(await writeImageArchive(file, { config: image, layerFile })) };
}

/** Returns a program of this host and the libraries that it is linked with, as files for an image. */
export function hostProgram(path: string): ImageFile[] {
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  return [path, ...libraries].map((file) => ({
    path: file.slice(1),
    content: readFileSync(file),
    mode: 0o755,
  }));
}

async function busybox(): Promise<Buffer> {
  const unpacked = await cached('busybox', async (work) => {
    execFileSync('apt-get', ['download', '-o', 'APT::Sandbox::User=root', 'busybox-static'], {
      cwd: work,
      stdio: 'pipe',
    });
    const [deb = ''] = readdirSync(work);
    execFileSync('dpkg-deb', ['-x', deb, 'tree'], { cwd: work });
    return join(work, 'tree');
  });
  return readFileSync(join(unpacked, 'bin/busybox'));
}
