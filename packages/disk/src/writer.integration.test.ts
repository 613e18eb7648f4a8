import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { archive, member } from './testing/archive.ts';

const long = `${'directory/'.repeat(25)}${'file'.repeat(40)}`;
const edge = 'e'.repeat(100);
const target = 'target/'.repeat(40);
const odd = 'odd\u00e9 "\n';
const big = 2 ** 33 + 1;

let root: string;
let file: string;
const tar = (...args: string[]) => execFileSync('tar', [...args, '-f', file], { encoding: 'utf8' });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-tar-'));
  file = join(root, 'archive.tar');
  const members = [
    member({ path: 'd', type: 'directory', mode: 0o1755, mtime: 86_400 }),
    member({ path: 'd/plain', mode: 0o4755, mtime: 1_000_000_000 }, 'plain\n'),
    member({ path: 'd/hard', type: 'hardlink', linkTarget: 'd/plain' }),
    member({ path: 'd/soft', type: 'symlink', linkTarget: target, mode: 0o777 }),
    member({ path: long }, 'x'.repeat(5_000)),
    member({ path: edge }, 'edge'),
    member({ path: Buffer.from(odd).toString('latin1') }),
    member({ path: 'owned', uid: 4_000_000_000, gid: 3_000_000_000 }, 'owned'),
    member({ path: 'pipe', type: 'fifo', mode: 0o600 }),
  ];
  await writeFile(file, archive(members));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('GNU tar reads what is written', () => {
  it('without a warning', () => {
    const listing = execFileSync('sh', ['-c', 'tar -tf "$0" 2>&1', file], { encoding: 'utf8' });
    expect(listing).not.toContain('tar:');
    expect(listing.trimEnd().split('\n')).toHaveLength(9);
  });

  it('with the same bytes, modes, times and links', async () => {
    const out = join(root, 'out');
    await mkdir(out);
    tar('-x', '--same-permissions', '--no-same-owner', '-C', out);
    const at = (path: string) => join(out, path);
    expect(readFileSync(at('d/plain'), 'utf8')).toBe('plain\n');
    expect(statSync(at('d/plain'))).toMatchObject({ mode: 0o104755, mtimeMs: 1e12, nlink: 2 });
    expect(statSync(at('d/hard')).ino).toBe(statSync(at('d/plain')).ino);
    expect(statSync(at('d'))).toMatchObject({ mode: 0o41755, mtimeMs: 86_400_000 });
    expect(readlinkSync(at('d/soft'))).toBe(target);
    expect(readFileSync(at(long), 'utf8')).toBe('x'.repeat(5_000));
    expect(readFileSync(at(edge), 'utf8')).toBe('edge');
    expect(statSync(at(odd)).size).toBe(0);
    expect(lstatSync(at('pipe')).isFIFO()).toBe(true);
  });

  it('with owners that do not fit into a header', () => {
    expect(tar('-tv', '--numeric-owner')).toMatch(/4000000000\/3000000000\s+5 .* owned/);
  });

  it('with a size that does not fit into a header', async () => {
    const huge = join(root, 'huge.tar');
    // Its body is missing: tar lists the member and then fails at the early end.
    await writeFile(huge, archive([member({ path: 'huge', size: big })]).subarray(0, -1_024));
    const listing = execFileSync('sh', ['-c', 'tar -tvf "$0" 2>/dev/null || true', huge], {
      encoding: 'utf8',
    });
    expect(listing).toContain(` ${big} `);
  });
});
