import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { link, lstat, mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Member, readAll } from './testing/archive.ts';

let root: string;
const long = `${'deep/'.repeat(30)}${'name'.repeat(30)}`;
const target = 'target/'.repeat(30);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-tar-'));
  const tree = join(root, 'tree');
  await mkdir(join(tree, long, '..'), { recursive: true });
  await writeFile(join(tree, 'plain'), 'plain\n', { mode: 0o640 });
  await writeFile(join(tree, 'odd\u00e9 "\n'), 'x'.repeat(100_000), { mode: 0o4751 });
  await writeFile(join(tree, long), 'long\n');
  await link(join(tree, 'plain'), join(tree, 'zlink'));
  await symlink(target, join(tree, 'symlink'));
  await mkdir(join(tree, 'empty'), { mode: 0o700 });
  await writeFile(join(tree, 'sparse'), 'end');
  await truncate(join(tree, 'sparse'), 2 ** 20);
  await utimes(join(tree, 'plain'), new Date(0), new Date('1960-01-01'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Returns the members of an archive that GNU tar has written. */
async function read(flags: string[], names: string[]): Promise<Map<string, Member>> {
  const file = join(root, 'archive.tar');
  execFileSync('tar', ['-C', join(root, 'tree'), '-cf', file, '--sort=name', ...flags, '--', ...names]);
  const members = await readAll(createReadStream(file, { highWaterMark: 5_000 }));
  return new Map(members.map((member) => [member.path, member]));
}
const owner = ['--owner=:1234', '--group=:5678'];

describe.each([
  ['pax', ['--format=pax']],
  ['GNU', ['--format=gnu']],
])('an archive of GNU tar in the %s format', (_name, format) => {
  it('is read with its long names, links, modes and owners', async () => {
    const members = await read([...format, ...owner], ['.']);
    const odd = Buffer.from('./odd\u00e9 "\n').toString('latin1');
    expect(members.get(odd)).toMatchObject({ mode: 0o4751, content: Buffer.from('x'.repeat(100_000)) });
    expect(members.get(`./${long}`)).toMatchObject({ uid: 1234, gid: 5678, content: Buffer.from('long\n') });
    expect(members.get('./zlink')).toMatchObject({ type: 'hardlink', linkTarget: './plain', size: 0 });
    expect(members.get('./symlink')).toMatchObject({ type: 'symlink', linkTarget: target });
    expect(members.get('./empty')).toMatchObject({ type: 'directory', mode: 0o700 });
    expect(members.get('./sparse')?.content.length).toBe(2 ** 20);
  });

  it('is read with owners and times that do not fit into a header', async () => {
    const members = await read([...format, '--owner=:4000000000', '--group=:3000000000'], ['plain']);
    expect(members.get('plain')).toMatchObject({ uid: 4_000_000_000, gid: 3_000_000_000, mtime: 0 });
  });
});

describe.each([
  ['GNU', ['--format=gnu']],
  ['pax 0.0', ['--format=pax', '--sparse-version=0.0']],
  ['pax 0.1', ['--format=pax', '--sparse-version=0.1']],
  ['pax 1.0', ['--format=pax', '--sparse-version=1.0']],
])('a sparse file of GNU tar in the %s format', (_name, format) => {
  it.each([
    ['holes only', 0],
    ['one piece', 1],
    ['more pieces than a header holds', 9],
    ['many pieces', 300],
  ])('is read with %s', async (_what, pieces) => {
    const path = join(root, 'tree', 'with-holes');
    const content = Buffer.alloc(3_000_001 + pieces * 20_000);
    for (let at = 0; at < pieces; at++) content.write(`piece ${at}`, at * 20_000 + 5_000);
    await writeFile(join(root, 'content'), content);
    execFileSync('cp', ['--sparse=always', join(root, 'content'), path]);
    const members = await read([...format, '--sparse', '--hole-detection=raw'], ['with-holes', 'plain']);
    expect([...members.keys()]).toEqual(['with-holes', 'plain']);
    expect(members.get('with-holes')?.size).toBe(content.length);
    expect(members.get('with-holes')?.content.equals(content)).toBe(true);
    expect(members.get('plain')?.content.toString()).toBe('plain\n');
  });
});

describe('an archive of GNU tar', () => {
  it('in the ustar format is read with names that are split into two fields', async () => {
    const name = `${'directory/'.repeat(12)}file`;
    await mkdir(join(root, 'tree', name, '..'), { recursive: true });
    await writeFile(join(root, 'tree', name), 'two parts');
    const members = await read(['--format=ustar'], [name]);
    expect(members.get(name)?.content.toString()).toBe('two parts');
  });

  it('with times in place of the prefix of a name is read by the rules of its format', async () => {
    const members = await read(['--format=gnu', '--incremental'], [long]);
    expect([...members.keys()]).toEqual([long]);
  });

  it('with extended attributes is read with them', async () => {
    const { mtimeMs } = await lstat(join(root, 'tree', long));
    const attribute = '--pax-option=SCHILY.xattr.user.note:=some=thing';
    const members = await read(['--format=pax', attribute], [long]);
    expect(members.get(long)).toMatchObject({
      xattrs: { 'user.note': 'some=thing' },
      mtime: Math.floor(mtimeMs / 1000),
    });
  });
});
