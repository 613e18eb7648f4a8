import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openFileCache, type Spawn } from '@fumehood/base';
import { spawnInside, takeDisk } from '@fumehood/disk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageDisk, type ProvenImage, writeImageDisk } from './cache.ts';
import { digestOfFile } from './digest.ts';
import {
  directory,
  dockerFiles,
  file,
  hardlink,
  type ImageFiles,
  type LayerMember,
  layerOf,
  layoutFiles,
  manifestOf,
  symlink,
  writeArchive,
} from './testing/image.ts';

/** The labels of the programs that were started. */
let started: string[];
const spawn: Spawn = (request) => {
  started.push(request.label);
  return spawnInside(request);
};

let root: string;
let cache: string;
beforeEach(async () => {
  started = [];
  root = await mkdtemp(join(tmpdir(), 'fumehood-cache-'));
  cache = join(root, 'cache');
  await mkdir(cache);
  for (const path of [root, cache]) await chmod(path, 0o711);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const diskOf = async (files: ImageFiles, name = 'image.tar') => {
  const archive = writeArchive(join(root, name), files);
  return proven({ archive, digestOf: 'archive', digest: await digestOfFile(archive) });
};
const use = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
const { signal } = new AbortController();
/** Makes disks as a job does, but without the sandbox. */
const proven = (image: ProvenImage) =>
  imageDisk(image, cache, use, {
    signal,
    async make(disk) {
      const work = await mkdtemp(join(root, 'work-'));
      const config = await writeImageDisk(spawn, image.archive, join(work, 'written'));
      await takeDisk(join(work, 'written'), join(work, 'copy'), disk, process.getuid?.() ?? 0);
      return config;
    },
  });
const configOf = (disk: string) => disk.replace('.sqfs', '.json');
const layers = [
  layerOf(
    directory('etc', 0o700),
    file('etc/kept', 'kept', 0o4711),
    file('etc/gone'),
    file('tool', 'old tool'),
    hardlink('alias', 'tool'),
    file('file-then-directory'),
    file('directory-then-file/inner'),
  ),
  layerOf(
    file('etc/.wh.gone', ''),
    file('tool', 'new tool'),
    directory('file-then-directory'),
    symlink('file-then-directory/link', '../etc/kept'),
    file('directory-then-file', 'a file'),
  ),
];
const programs = ['sqfstar', 'unsquashfs'];

describe('the disk of an image', () => {
  it('holds what a union mount of its layers shows', async () => {
    const disk = await diskOf(layoutFiles(layers, { config: { Cmd: ['c'] }, packed: gzipSync }));
    expect(disk.config.cmd).toEqual(['c']);
    const tree = join(root, 'tree');
    execFileSync('unsquashfs', ['-q', '-n', '-d', tree, join(cache, disk.file)]);
    const at = (path: string) => join(tree, path);
    expect((await readdir(tree)).sort()).toEqual([
      'alias',
      'directory-then-file',
      'etc',
      'file-then-directory',
      'tool',
    ]);
    expect(await readdir(at('etc'))).toEqual(['kept']);
    expect(statSync(at('etc/kept')).mode & 0o7777).toBe(0o4711);
    expect(readFileSync(at('file-then-directory/link'), 'utf8')).toBe('kept');
    expect(readFileSync(at('tool'), 'utf8')).toBe('new tool');
    expect(readFileSync(at('alias'), 'utf8')).toBe('old tool');
    expect(readFileSync(at('directory-then-file'), 'utf8')).toBe('a file');
  });

  it('holds pipes, device nodes, hard links to symbolic links, every owner, and late times as the last one', async () => {
    const members: LayerMember[] = [
      { path: 'pipe', type: 'fifo', mode: 0o622 },
      { path: 'null', type: 'character', device: [1, 3], mode: 0o666 },
      symlink('link', 'pipe'),
      hardlink('same-link', 'link'),
      { ...file('owned', ''), uid: 2 ** 32 - 2, gid: 70_000, mtime: 2 ** 33 - 1 },
    ];
    const disk = await diskOf(layoutFiles([layerOf(...members)]));
    const listing = execFileSync('unsquashfs', ['-q', '-UTC', '-lln', join(cache, disk.file)], {
      encoding: 'utf8',
    });
    const lines = listing.trimEnd().split('\n').slice(1);
    expect(lines.map((line) => line.replace('squashfs-root/', '').replace(/ +/g, ' '))).toEqual([
      'lrwxrwxrwx 0/0 4 1970-01-01 00:00 link -> pipe',
      'crw-rw-rw- 0/0 1, 3 1970-01-01 00:00 null',
      '-rw-r--r-- 4294967294/70000 0 2106-02-07 06:28 owned',
      'prw--w--w- 0/0 0 1970-01-01 00:00 pipe',
      'lrwxrwxrwx 0/0 4 1970-01-01 00:00 same-link -> pipe',
    ]);
  });

  it('is made once for concurrent and repeated requests', async () => {
    const files = dockerFiles(layers);
    const disks = await Promise.all([1, 2, 3].map((copy) => diskOf(files, `${copy}.tar`)));
    const { ino } = statSync(join(cache, disks[0]?.file ?? ''));
    disks.push(await diskOf(files));
    expect(new Set(disks.map((disk) => disk.file)).size).toBe(1);
    expect(started).toEqual(programs);
    expect(statSync(join(cache, disks[0]?.file ?? '')).ino).toBe(ino);
  });

  it('differs from the disk of another image', async () => {
    const one = await diskOf(dockerFiles(layers));
    const other = await diskOf(dockerFiles([...layers, layerOf(file('more'))]));
    expect(other.file).not.toBe(one.file);
    expect(started).toEqual([...programs, ...programs]);
  });

  it('is made again when it was removed', async () => {
    const { file: name } = await diskOf(dockerFiles(layers));
    await rm(join(cache, name));
    expect(await diskOf(dockerFiles(layers))).toMatchObject({ file: name });
    expect(existsSync(join(cache, name))).toBe(true);
  });
});

describe('an archive that claims the layers of a cached image', () => {
  const secret = [layerOf(file('secret', 'of somebody else'))];
  /** The documents are the victim's, and so are the names, sizes and places of its layers. Their bytes are zeros. */
  const forgedFrom = (files: ImageFiles): ImageFiles =>
    new Map(
      [...files].map(([name, bytes]) => [
        name,
        bytes.includes('secret') ? Buffer.alloc(bytes.length) : bytes,
      ]),
    );

  it.each([
    ['an OCI layout', layoutFiles(secret)],
    ['`docker save`', dockerFiles(secret)],
  ])('is refused with a warm cache as with a cold one: %s', async (_format, files) => {
    const forged = forgedFrom(files);
    expect([...forged.keys()]).toEqual([...files.keys()]);
    const refused = { code: 'image_invalid' };
    await expect(diskOf(forged)).rejects.toMatchObject(refused);
    const victim = await diskOf(files);
    await expect(diskOf(forged)).rejects.toMatchObject(refused);
    expect((await readdir(cache)).sort()).toEqual([configOf(victim.file), victim.file]);
  });

  it('gets the disk of that image if the digest is not that of its bytes, so the test above can fail', async () => {
    const victim = await diskOf(layoutFiles(secret));
    const digest = await digestOfFile(join(root, 'image.tar'));
    const archive = writeArchive(join(root, 'forged.tar'), forgedFrom(layoutFiles(secret)));
    expect(await proven({ archive, digestOf: 'archive', digest })).toEqual(victim);
  });

  it('gets nothing for a digest of another kind: a manifest can be stored as an archive', async () => {
    const archive = writeArchive(join(root, 'image.tar'), layoutFiles(secret));
    const { digest } = manifestOf(layoutFiles(secret));
    const [one, other] = await Promise.all(
      (['manifest', 'archive'] as const).map((kind) => proven({ archive, digestOf: kind, digest })),
    );
    expect(one?.file).not.toBe(other?.file);
  });
});

describe('an image that cannot be used', () => {
  it('leaves no disk and does not block the valid image', async () => {
    const forged = dockerFiles(layers).set('layer-0/layer.tar', Buffer.from(layers[0] as Buffer));
    forged.get('layer-0/layer.tar')?.write('bad!', 1_024); // the bytes of `etc/kept`
    await expect(diskOf(forged)).rejects.toMatchObject({
      code: 'image_invalid',
    });
    expect(await readdir(cache)).toEqual([]);
    await diskOf(dockerFiles(layers));
    expect(await readdir(cache)).toHaveLength(2);
  });

  it('fails every waiting caller', async () => {
    const broken = dockerFiles([layerOf(hardlink('a', 'nothing'))]);
    const answers = await Promise.allSettled([1, 2].map((copy) => diskOf(broken, `${copy}.tar`)));
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});

describe('a disk whose maker died halfway', () => {
  it('is never used', async () => {
    const { file: name } = await diskOf(dockerFiles(layers));
    const whole = statSync(join(cache, name)).size;
    await rm(join(cache, name));
    // A crash leaves a work directory.
    await mkdir(join(cache, '.disk-dead'));
    await writeFile(join(cache, '.disk-dead', 'disk'), 'half');
    await diskOf(dockerFiles(layers));
    expect(statSync(join(cache, name)).size).toBe(whole);
    expect(started).toEqual([...programs, ...programs]);
  });
});
