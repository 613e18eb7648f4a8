import { execFileSync, spawn as spawnChild } from 'node:child_process';
import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { takeDisk, writeDisk } from './disk.ts';
import { spawnInside } from './inside.ts';
import { diskSize } from './limits.ts';
import { archive, inPieces, member } from './testing/archive.ts';

const root = process.getuid?.() === 0;
const content = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at) % 251));
const owner = { uid: 70_000, gid: 80_000 };
const long = `${'directory/'.repeat(20)}${'file'.repeat(40)}`;
const target = 'target/'.repeat(40);
const members = [
  member({ path: 'd', type: 'directory', mode: 0o1750, mtime: 86_400, ...owner }),
  member({ path: 'd/file', mode: 0o4755, mtime: 1_000_000_000, ...owner }, content),
  member({ path: 'd/hard', type: 'hardlink', linkTarget: 'd/file' }),
  member({ path: 'soft', type: 'symlink', linkTarget: target, mode: 0o777, ...owner }),
  member({ path: long, mode: 0o600 }, 'long\n'),
  member({ path: 'empty', mode: 0o444 }),
];

const uid = process.getuid?.() ?? 0;
let directory: string;
let tree: string;
/** Makes a disk as a job does, but without the sandbox. */
const make = async (bytes: AsyncIterable<Uint8Array>, entries = 0, name = 'disk') => {
  const work = await mkdtemp(join(directory, '.disk-'));
  try {
    await writeDisk(spawnInside, bytes, join(work, 'written'), () => entries);
    return await takeDisk(join(work, 'written'), join(work, 'copy'), join(directory, name), uid);
  } finally {
    await rm(work, { recursive: true });
  }
};

const at = (path: string) => join(tree, path);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-disk-'));
  await chmod(directory, 0o711);
  tree = join(directory, 'tree');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('a disk', () => {
  let made: { bytes: number };
  beforeAll(async () => {
    made = await make(inPieces(archive(members), 10_000), members.length);
    execFileSync('unsquashfs', ['-q', '-n', '-d', tree, join(directory, 'disk')]);
  });
  it('holds the bytes, modes, times and links of the archive', () => {
    expect(readFileSync(at('d/file')).equals(content)).toBe(true);
    expect(lstatSync(at('d/file'))).toMatchObject({ mode: 0o104755, mtimeMs: 1e12, nlink: 2 });
    expect(lstatSync(at('d/hard')).ino).toBe(lstatSync(at('d/file')).ino);
    expect(lstatSync(at('d'))).toMatchObject({ mode: 0o41750, mtimeMs: 86_400_000 });
    expect(readlinkSync(at('soft'))).toBe(target);
    expect(readFileSync(at(long), 'utf8')).toBe('long\n');
    expect(lstatSync(at(long)).mode).toBe(0o100600);
    expect(lstatSync(at('empty'))).toMatchObject({ size: 0, mode: 0o100444 });
  });

  it('holds the owners of the archive', () => {
    const listing = execFileSync('unsquashfs', ['-q', '-lln', join(directory, 'disk')], { encoding: 'utf8' });
    const ofOwner = listing.split('\n').filter((line) => line.includes(' 70000/80000 '));
    expect(ofOwner.map((line) => line.replace(/^.*squashfs-root\//, '').slice(0, 6))).toEqual([
      'd',
      'd/file',
      'd/hard',
      'soft -',
    ]);
  });

  it('has the size of all disks and uses no more space than its content', () => {
    const { size, blocks, mode } = statSync(join(directory, 'disk'));
    expect(size).toBe(diskSize);
    expect(blocks * 512).toBeLessThan(made.bytes + 2 ** 20);
    expect(mode & 0o777).toBe(0o400);
  });
});

describe('another user of the machine', () => {
  /** Opens a handle without any right to the file, and uses it once the directory is closed. */
  const script = `
    $| = 1;
    sysopen(my $handle, $ARGV[0], 0x200000) or die "no handle: $!";
    print "ready\n";
    <STDIN>;
    print open(my $file, "<", "/proc/self/fd/" . fileno($handle)) ? "read" : "refused";`;
  const foreign = ['--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs'];
  const reopen = async (file: string) => {
    await chmod(directory, 0o711);
    const peer = spawnChild('setpriv', [...foreign, 'perl', '-e', script, file], { stdio: 'pipe' });
    const lines = createInterface(peer.stdout);
    const iterator = lines[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toBe('ready');
    await chmod(directory, 0o700);
    peer.stdin.end('go\n');
    const answer = await iterator.next();
    await chmod(directory, 0o711);
    return answer.value as string;
  };

  it.skipIf(!root)(
    'cannot read a disk through a handle from a time when its directory was open',
    async () => {
      const file = join(directory, 'disk');
      expect(await reopen(file)).toBe('refused');
      await chmod(file, 0o444);
      expect(await reopen(file), 'so the attack works when all may read the file').toBe('read');
      await chmod(file, 0o400);
    },
  );
});

describe('a disk that cannot be made,', () => {
  const first = archive(members).subarray(0, -1_024);
  afterEach(async () => {
    // Neither a disk nor a temporary file.
    expect((await readdir(directory)).filter((name) => name !== 'disk' && name !== 'tree')).toEqual([]);
  });

  it('because its archive fails halfway, does not exist, and the error is that of the archive', async () => {
    const failing = async function* () {
      yield first;
      throw new Error('the source is gone');
    };
    await expect(make(failing(), 0, 'other')).rejects.toThrow('the source is gone');
  });

  it('because its archive is cut off, does not exist', async () => {
    const cut = inPieces(first.subarray(0, 100_000), 10_000);
    await expect(make(cut, 0, 'other')).rejects.toMatchObject({ code: 'program_failed' });
  });

  it('because its input is not an archive, does not exist, and the error names the program', async () => {
    const noise = make(inPieces(Buffer.alloc(4_096, 'noise'), 512), 0, 'other');
    await expect(noise).rejects.toMatchObject({
      code: 'program_failed',
      message: expect.stringContaining('sqfstar') as string,
    });
  });

  it('because a member is missing in it, does not exist', async () => {
    // Without the long path: its implied directories would be counted, too.
    const flat = members.filter(({ path }) => path !== long);
    const short = make(inPieces(archive(flat), 10_000), flat.length + 1, 'other');
    await expect(short).rejects.toMatchObject({
      code: 'disk_invalid',
      message: expect.stringContaining('6 members were written, but it has 5') as string,
    });
  });

  it('because its maker left a link to a file of the host, does not exist', async () => {
    const link = join(directory, 'tree', 'link');
    await symlink('/etc/passwd', link);
    const taken = takeDisk(link, join(directory, 'copy'), join(directory, 'other'), uid);
    await expect(taken).rejects.toMatchObject({ code: 'output_refused' });
    await copyFile(link, join(directory, 'tree', 'followed'));
    expect(readFileSync(at('followed'), 'utf8'), 'which is what a copy gives').toContain('root:');
  });

  it('does not change the previous disk', async () => {
    const before = statSync(join(directory, 'disk'));
    await expect(make(inPieces(Buffer.alloc(4_096, 'noise'), 512))).rejects.toThrow();
    expect(statSync(join(directory, 'disk'))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
  });
});
