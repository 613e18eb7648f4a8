import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unpackArtifact } from './unpack.ts';

type Member = Pick<TarEntry, 'path'> & Partial<TarEntry> & { readonly text?: string };

let root: string;
let target: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-unpack-'));
  target = join(root, 'target');
  mkdirSync(target);
  writeFileSync(join(root, 'outside'), 'untouched');
});
afterEach(() => rmSync(root, { recursive: true }));

async function* tarOf(members: readonly Member[]): AsyncGenerator<Buffer> {
  for (const { text = '', ...member } of members) {
    const facts = { type: 'file' as const, size: text.length, mode: 0o644, uid: 0, gid: 0, mtime: 0 };
    yield tarHeader({ ...facts, ...member });
    yield Buffer.from(text);
    yield tarPadding(text.length);
  }
  yield tarEnd();
}
const unpack = (path: string, members: readonly Member[]) => unpackArtifact(tarOf(members), path, target);
const directory = (path: string): Member => ({ path, type: 'directory' });
const everything = (at = root) => readdirSync(at, { recursive: true, encoding: 'utf8' }).sort();
const untouched = ['outside', 'target'];

describe('what a job brought back', () => {
  it('is at its own path, with what was there before beside it', async () => {
    mkdirSync(join(target, 'out/old'), { recursive: true });
    writeFileSync(join(target, 'out/a'), 'before');
    const members = [
      directory('out'),
      { path: 'out/a', text: 'after', mode: 0o6755 },
      directory('out/old'),
      { path: 'out/old/b', text: 'b' },
    ];
    expect(await unpack('out', members)).toEqual({ files: 2, skipped: [] });
    expect(everything(target)).toEqual(['out', 'out/a', 'out/old', 'out/old/b']);
    expect(readFileSync(join(target, 'out/a'), 'utf8')).toBe('after');
    expect(statSync(join(target, 'out/a')).mode & 0o7777).toBe(0o777 & ~process.umask());
    await unpack('deep/er/report.xml', [{ path: 'deep/er/report.xml', text: 'x' }]);
    expect(readFileSync(join(target, 'deep/er/report.xml'), 'utf8')).toBe('x');
  });

  it('has no links, devices or pipes, which are named', async () => {
    const members: Member[] = [
      directory('out'),
      { path: 'out/l', type: 'symlink', linkTarget: '/etc/passwd' },
      { path: 'out/h', type: 'hardlink', linkTarget: 'out/l' },
      { path: 'out/p', type: 'fifo' },
      { path: 'out/d', type: 'block', device: [8, 0] },
    ];
    expect(await unpack('out', members)).toEqual({
      files: 0,
      skipped: ['out/l', 'out/h', 'out/p', 'out/d'],
    });
    expect(everything(target)).toEqual(['out']);
  });

  it('replaces a link at the place of a file, and does not write through it', async () => {
    mkdirSync(join(target, 'out'));
    symlinkSync('../../outside', join(target, 'out/a'));
    await unpack('out', [directory('out'), { path: 'out/a', text: 'new' }]);
    expect(lstatSync(join(target, 'out/a')).isFile()).toBe(true);
    expect(readFileSync(join(root, 'outside'), 'utf8')).toBe('untouched');
  });

  it.each(['out', 'up/out'])(
    'does not go through a link in the place of a directory on the way to %s',
    async (path) => {
      mkdirSync(join(root, 'elsewhere'));
      symlinkSync('../elsewhere', join(target, path.split('/')[0] as string));
      await expect(unpack(path, [directory(path), { path: `${path}/a`, text: 'new' }])).rejects.toMatchObject(
        {
          code: 'artifact_not_written',
        },
      );
      expect(everything(join(root, 'elsewhere'))).toEqual([]);
      expect(readdirSync(target)).toHaveLength(1);
    },
  );
});

describe('a hostile archive', () => {
  it.each<[string, Member[]]>([
    ['a path that leads out', [directory('out'), { path: 'out/../../outside' }]],
    ['a path that leads out at once', [{ path: '../outside' }]],
    ['an absolute path', [{ path: '/tmp/x' }]],
    ['a path beside its own', [directory('out'), { path: 'other' }]],
    ['a path that begins like its own', [directory('out'), { path: 'output' }]],
    ['a path with a backslash', [directory('out'), { path: 'out/..\\x' }]],
    [
      'a path below a link',
      [directory('out'), { path: 'out/l', type: 'symlink', linkTarget: '../..' }, { path: 'out/l/outside' }],
    ],
    ['a path below a file', [directory('out'), { path: 'out/f' }, { path: 'out/f/g' }]],
    ['a path whose directory is missing', [directory('out'), { path: 'out/d/g' }]],
    ['a file twice', [directory('out'), { path: 'out/f' }, { path: 'out/f' }]],
    ['itself twice', [{ path: 'out' }, { path: 'out' }]],
    ['a link in place of itself', [{ path: 'out', type: 'symlink', linkTarget: '/etc' }]],
    ['nothing', []],
    ['a name that is too long', [directory('out'), { path: `out/${'n'.repeat(256)}` }]],
  ])('with %s is refused, and nothing is written', async (_what, members) => {
    await expect(unpack('out', members)).rejects.toMatchObject({ code: 'artifact_invalid' });
    expect(everything()).toEqual(untouched);
  });

  it('with a size beyond every limit is refused at once', async () => {
    const huge = [directory('out'), { path: 'out/a', size: 2 ** 40 }];
    await expect(unpack('out', huge)).rejects.toMatchObject({ code: 'tar_too_big' });
    expect(everything()).toEqual(untouched);
  });

  it('of any members writes nothing outside of its own path, and no link', async () => {
    const part = fc.constantFrom('out', 'a', 'b', '..', '.', '', '/');
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const type = fc.constantFrom('file', 'directory', 'symlink', 'hardlink', 'character');
    const member = fc.record({ path, type, linkTarget: path, text: fc.string({ maxLength: 9 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 6 }), async (members) => {
        const all = [directory('out'), ...members.map((one) => ({ ...one, path: `out/${one.path}` }))];
        await unpack('out', all as Member[]).catch(({ code }: { code: string }) => {
          expect(['artifact_invalid', 'artifact_not_written', 'tar_invalid']).toContain(code);
        });
        expect(readFileSync(join(root, 'outside'), 'utf8')).toBe('untouched');
        expect(everything().filter((one) => !/^(outside|target(\/out(\/.*)?)?)$/.test(one))).toEqual([]);
        if (existsSync(join(target, 'out')))
          for (const one of everything(join(target, 'out')))
            expect(lstatSync(join(target, 'out', one)).isSymbolicLink()).toBe(false);
        rmSync(join(target, 'out'), { recursive: true, force: true });
      }),
    );
  });
});
