import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { architecture, fakeArchive, fakeMember, fakeRelease } from '../../testing/fake-release.ts';
import { findFirecracker } from './find.ts';
import { installArchive, installedBinary, isInstalled } from './install.ts';

let root: string;
let directory: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-install-'));
  directory = join(root, 'firecracker');
});
afterEach(() => rm(root, { recursive: true }));

const from = '/an/archive.tgz';
const install = ({ archive, release }: ReturnType<typeof fakeRelease>) =>
  installArchive(archive, { directory, release, from, identity: null });
const find = (named: string | null = null) => findFirecracker({ named, directory, identity: null });
const fails = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

describe('an installed release', () => {
  it('has its binary alone, and a record of its origin', async () => {
    const fake = fakeRelease('1.17.0');
    expect(await isInstalled(directory, fake.release, null)).toBe(false);
    await install(fake);
    expect(await isInstalled(directory, fake.release, null)).toBe(true);
    expect(await readdir(directory)).toEqual(['1.17.0']);
    const version = join(directory, '1.17.0');
    expect((await readdir(version)).toSorted()).toEqual(['firecracker', 'install.json']);
    const { mode, uid } = await stat(installedBinary(directory, '1.17.0'));
    expect([mode & 0o7777, uid]).toEqual([0o755, process.getuid?.()]);
    const record = JSON.parse(await readFile(join(version, 'install.json'), 'utf8'));
    expect(record).toEqual({ version: '1.17.0', sha256: fake.release.sha256, from });
  });

  it('is not replaced by another archive of its version, and not taken if it is damaged', async () => {
    const fake = fakeRelease('1.17.0');
    await install(fake);
    const other = { ...fake.release, sha256: '0'.repeat(64) };
    await expect(isInstalled(directory, other, null)).rejects.toMatchObject(
      fails('install_failed', /is not from the archive 000/),
    );
    await writeFile(installedBinary(directory, '1.17.0'), '#!/bin/sh\nexit 1\n');
    await expect(isInstalled(directory, fake.release, null)).rejects.toMatchObject(
      fails('install_failed', /is damaged/),
    );
  });

  it('removes what interrupted calls left', async () => {
    await mkdir(join(directory, 'partial-1'), { recursive: true });
    await writeFile(join(directory, 'partial-1/firecracker'), 'half');
    await install(fakeRelease('1.17.0'));
    expect(await readdir(directory)).toEqual(['1.17.0']);
  });
});

describe('of two installed versions', () => {
  it('the newest accepted one is found, whichever came last, and each stays as it is', async () => {
    await install(fakeRelease('1.17.0'));
    const before = await stat(installedBinary(directory, '1.17.0'));
    await install(fakeRelease('1.16.10'));
    expect(await find()).toEqual({ binary: installedBinary(directory, '1.17.0'), version: '1.17.0' });
    expect((await stat(installedBinary(directory, '1.17.0'))).ino).toBe(before.ino);
    await mkdir(join(directory, '1.18.0')); // an empty one is none
    await mkdir(join(directory, '2.0.0'));
    expect(await find()).toMatchObject({ version: '1.17.0' });
  });

  it('the named one is found', async () => {
    await install(fakeRelease('1.17.0'));
    await install(fakeRelease('1.16.2'));
    const named = installedBinary(directory, '1.16.2');
    expect(await find(named)).toEqual({ binary: named, version: '1.16.2' });
    expect(await find(join(root, 'none'))).toMatchObject({
      binary: null,
      why: expect.stringContaining('ENOENT'),
    });
  });
});

it('without an installed version none is found, with the reason', async () => {
  expect(await find()).toMatchObject({ binary: null, why: expect.stringContaining('none is installed') });
  await mkdir(join(directory, '1.17.0'), { recursive: true });
  expect(await find()).toMatchObject({ binary: null, why: expect.stringContaining('ENOENT') });
});

const top = `release-v1.17.0-${architecture}`;
const name = `${top}/firecracker-v1.17.0-${architecture}`;

describe('nothing is installed, and the earlier version stays,', () => {
  beforeEach(() => install(fakeRelease('1.16.2')));
  afterEach(async () => {
    expect(await readdir(directory)).toEqual(['1.16.2']);
    expect(await find()).toMatchObject({ version: '1.16.2' });
    expect(await readdir(root)).toEqual(['firecracker']);
  });

  it.each<[string, () => ReturnType<typeof fakeRelease>, string, RegExp]>([
    [
      'says another version',
      () => fakeRelease('1.17.0', 'Firecracker v1.16.2'),
      'archive_wrong',
      /1\.16\.2 instead/,
    ],
    ['is of a refused version', () => fakeRelease('1.13.0'), 'vmm_refused', /older than 1\.14\.0/],
    ['is another program', () => fakeRelease('1.17.0', 'hello'), 'vmm_refused', /does not say which/],
    [
      'has no binary',
      () => fakeArchive('1.17.0', [fakeMember(`${top}/LICENSE`, 'x')]),
      'archive_wrong',
      /is not in it/,
    ],
    [
      'has a link in place of the binary',
      () => fakeArchive('1.17.0', [fakeMember(name, '/bin/sh', 'symlink')]),
      'archive_wrong',
      /is not a file/,
    ],
    [
      'leads out of its directory',
      () => fakeArchive('1.17.0', [fakeMember(`../../${name}`, 'x'), fakeMember(`/tmp/${name}`, 'x')]),
      'archive_wrong',
      /is not in it/,
    ],
    [
      'is no tar',
      () => ({ ...fakeRelease('1.17.0'), archive: fakeArchive('1.17.0', [Buffer.alloc(512, 'x')]).archive }),
      'archive_wrong',
      /cannot be read/,
    ],
    [
      'is not compressed',
      () => ({ ...fakeRelease('1.17.0'), archive: Buffer.from('not gzip') }),
      'archive_wrong',
      /incorrect header/,
    ],
    [
      'is cut off',
      () => {
        const { archive, release } = fakeRelease('1.17.0');
        return { archive: archive.subarray(0, 60), release };
      },
      'archive_wrong',
      /unexpected end/,
    ],
  ])('when an archive %s', async (_, make, code, message) => {
    await expect(install(make())).rejects.toMatchObject(fails(code, message));
  });
});

it('a directory that cannot be made is named', async () => {
  directory = '/proc/fumehood'; // not even root can make it
  await expect(install(fakeRelease('1.17.0'))).rejects.toMatchObject(
    fails('install_failed', /\/proc\/fumehood/),
  );
});
