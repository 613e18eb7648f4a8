import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTar } from '@fumehood/disk';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from './archive.ts';
import { flattenImage } from './flatten.ts';
import {
  directory,
  file,
  hardlink,
  type LayerMember,
  layerOf,
  layerWithRecords,
  layoutFiles,
  symlink,
  writeArchive,
  writeLayout,
} from './testing/image.ts';
import { unpackedPackage } from './testing/registry.ts';

/** What is at each path, where hard links have the first path of their file. The path of the root is empty. */
type Facts = Record<string, object>;

let root: string;
let umoci: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-umoci-'));
  umoci = join(unpackedPackage(root, 'umoci'), 'usr/bin/umoci');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const typeOf = (is: Stats) =>
  (is.isDirectory() && 'directory') ||
  (is.isFIFO() && 'fifo') ||
  (is.isSymbolicLink() && 'symlink') ||
  'file';

/** Returns all paths below a directory, as bytes in `latin1`. Follows no link, unlike Node's own recursion. */
function pathsBelow(top: string, path = ''): string[] {
  const entries = readdirSync(at(top, path), { withFileTypes: true, encoding: 'latin1' });
  return entries.flatMap((entry) => {
    const below = path === '' ? entry.name : `${path}/${entry.name}`;
    return entry.isDirectory() ? [below, ...pathsBelow(top, below)] : [below];
  });
}

const at = (top: string, path: string) => Buffer.from(`${top}/${path}`, 'latin1');

/** Returns an archive of GNU tar with a sparse file, a hard link to it and a symbolic link. */
function tarOf(...options: string[]): Buffer {
  const tree = join(root, 'tree');
  mkdirSync(tree, { recursive: true });
  writeFileSync(join(tree, 'sparse'), 'start');
  truncateSync(join(tree, 'sparse'), 2 ** 20);
  execFileSync('sh', ['-c', 'ln -f sparse hard; ln -sf sparse soft; touch -d @5 sparse'], { cwd: tree });
  const names = ['sparse', 'hard', 'soft'];
  return execFileSync('tar', ['-C', tree, '-c', ...options, ...names], { maxBuffer: 2 ** 24 });
}

/** Unpacks the image with umoci. Returns null if umoci refuses it. */
async function unpacked(layers: readonly Buffer[]): Promise<Facts | null> {
  const layout = join(root, 'layout');
  const bundle = join(root, 'bundle');
  for (const path of [layout, bundle]) await rm(path, { recursive: true, force: true });
  writeLayout(layout, layoutFiles(layers, { tag: 'tag' }));
  try {
    execFileSync(umoci, ['unpack', '--image', `${layout}:tag`, bundle], { stdio: 'pipe' });
  } catch {
    return null;
  }
  const top = join(bundle, 'rootfs');
  const facts: Facts = {};
  const firstOf = new Map<number, string>();
  for (const path of ['', ...pathsBelow(top).toSorted()]) {
    const is = lstatSync(at(top, path));
    const type = typeOf(is);
    if (!firstOf.has(is.ino)) firstOf.set(is.ino, path);
    facts[path] = {
      ...{ type, uid: is.uid, gid: is.gid, first: firstOf.get(is.ino) },
      ...(type !== 'symlink' && { mode: is.mode & 0o7777 }),
      ...(type === 'file' && { mtime: is.mtimeMs / 1000, content: readFileSync(at(top, path), 'latin1') }),
      ...(type === 'symlink' && { target: readlinkSync(at(top, path), 'latin1') }),
    };
  }
  return facts;
}

/** Returns the same for a flattened image, or null if it is refused. */
async function flattened(layers: readonly Buffer[]): Promise<Facts | null> {
  const archive = await openArchive(writeArchive(join(root, 'image.tar'), layoutFiles(layers)));
  const flat = await flattenImage(archive).catch(() => null);
  if (!flat) return null;
  const { mode, uid, gid } = flat.root;
  const members = new Map<string, object>();
  const names = new Map<object, string[]>();
  for await (const entry of readTar(flat.tar)) {
    const { path, type, linkTarget = '' } = entry;
    const chunks: Buffer[] = [];
    for await (const chunk of entry.body) chunks.push(Buffer.from(chunk));
    const facts =
      type === 'hardlink'
        ? (members.get(linkTarget) as object)
        : {
            ...{ type, uid: entry.uid, gid: entry.gid },
            ...(type !== 'symlink' && { mode: entry.mode }),
            ...(type === 'file' && { mtime: entry.mtime, content: Buffer.concat(chunks).toString('latin1') }),
            ...(type === 'symlink' && { target: linkTarget }),
          };
    members.set(path, facts);
    names.set(facts, [...(names.get(facts) ?? []), path].toSorted());
  }
  return {
    '': { type: 'directory', uid, gid, mode, first: '' },
    ...Object.fromEntries(
      [...members].map(([path, facts]) => [path, { ...facts, first: names.get(facts)?.[0] }]),
    ),
  };
}

const pipe = (path: string): LayerMember => ({ path, type: 'fifo', mode: 0o622 });
const usr = [directory('usr', 0o711), file('usr/a'), file('usr/b')];
/** Names, layers, and whether the image is refused. */
const cases: [name: string, layers: LayerMember[][], refused?: boolean][] = [
  [
    'members below a link of the same layer',
    [[...usr, symlink('lib', 'usr'), file('lib/x'), directory('lib/d')]],
  ],
  [
    'members below a link of a lower layer',
    [
      [...usr, symlink('lib', 'usr')],
      [file('lib/a', 'new'), pipe('lib/p')],
    ],
  ],
  ['members below an absolute link', [[...usr, symlink('lib', '/usr')], [file('lib/x')]]],
  [
    'members below a link out of the root',
    [[symlink('lib', '../../../../../../tmp/fumehood')], [file('lib/x')]],
  ],
  ['members below a link to nothing', [[symlink('lib', 'not/../usr/lib64'), file('lib/x')]]],
  [
    'members below a chain of links',
    [[...usr, symlink('1', 'usr'), symlink('2', './1/'), symlink('d/3', '../2')], [file('d/3/x')]],
  ],
  [
    'members below a link to a link in its own directory',
    [[directory('d/e'), symlink('d/l', 'e'), symlink('k', 'd/l')], [file('k/x')]],
  ],
  ['members below a loop', [[symlink('1', '2'), symlink('2', '1')], [file('1/x')]], true],
  ['members below a link to a file', [[file('f'), symlink('l', 'f')], [file('l/x')]], true],
  ['members below a file', [[file('f')], [file('f/x')]], true],
  ['a link that replaces a directory', [usr, [symlink('usr', 'other'), file('usr/x')]]],
  [
    'a directory that replaces a link',
    [
      [...usr, symlink('lib', 'usr')],
      [directory('lib'), file('lib/x')],
    ],
  ],
  [
    'a directory that replaces a link after members below it',
    [
      [...usr, symlink('lib', 'usr')],
      [file('lib/x'), directory('lib'), file('lib/y')],
    ],
  ],
  ['a file that replaces a link', [[...usr, symlink('lib', 'usr')], [file('lib')]]],
  ['whiteouts below a link', [[...usr, symlink('lib', 'usr')], [file('lib/.wh.a', '')]]],
  ['whiteouts of a link', [[...usr, symlink('lib', 'usr')], [file('.wh.lib', '')]]],
  [
    'whiteouts of a link after a member below it',
    [
      [...usr, symlink('lib', 'usr')],
      [file('lib/x'), file('.wh.lib', '')],
    ],
  ],
  [
    'whiteouts of a link before a member below it',
    [
      [...usr, symlink('lib', 'usr')],
      [file('.wh.lib', ''), file('lib/x')],
    ],
  ],
  [
    'opaque whiteouts below a link',
    [
      [...usr, symlink('lib', 'usr')],
      [file('lib/x'), file('lib/.wh..wh..opq', '')],
    ],
  ],
  [
    'whiteouts in a directory that does not exist',
    [usr, [file('no/where/.wh.a', ''), file('no/.wh..wh..opq', '')]],
  ],
  [
    'whiteouts of a directory after and before its own members',
    [
      [...usr, directory('d', 0o700), file('d/a')],
      [file('usr/x'), file('.wh.usr', ''), file('.wh.d', ''), file('d/x')],
    ],
  ],
  ['a directory that is emptied', [usr, [file('usr/.wh.a', ''), file('usr/.wh.b', '')]]],
  [
    'hard links to files that are replaced and removed',
    [usr, [hardlink('x', 'usr/a'), hardlink('y', 'usr/b')], [file('usr/a', 'new'), file('usr/.wh.b', '')]],
  ],
  [
    'hard links to hard links',
    [usr, [hardlink('x', 'usr/a')], [hardlink('y', 'x'), file('.wh.x', ''), file('.wh.usr', '')]],
  ],
  ['hard links to links', [[symlink('l', 'x'), hardlink('k', 'l')], [file('.wh.l', '')]]],
  ['hard links to pipes', [[pipe('p')], [hardlink('q', 'p')]]],
  ['hard links below links', [[...usr, symlink('lib', 'usr')], [hardlink('lib/h', 'lib/a')]]],
  ['hard links to themselves', [[file('a')], [hardlink('a', 'a')]], true],
  ['hard links to what they replace', [[file('a/b')], [hardlink('a', 'a/b')]], true],
  ['hard links to directories', [usr, [hardlink('h', 'usr')]], true],
  ['hard links to nothing', [usr, [hardlink('h', 'usr/z')]], true],
  ['an entry for the root', [[{ path: './', type: 'directory', mode: 0o1777, uid: 5, gid: 6 }], [file('a')]]],
  ['paths with .. that stay inside', [[file('a/../b'), file('./c/d/../../e')]]],
  ['names that are not UTF-8', [[file('caf\xe9'), symlink('l', '\xff')], [file('.wh.caf\xe9', '')]]],
  ['empty layers', [[], usr, [], [file('.wh.usr', '')], []]],
];

describe.skipIf(process.getuid?.() !== 0)('umoci and Fumehood agree about', () => {
  it.each(cases)('%s', async (_name, members, refused = false) => {
    const layers = members.map((one) => layerOf(...one));
    const expected = await unpacked(layers);
    expect(expected === null).toBe(refused);
    expect(await flattened(layers)).toEqual(expected);
  });

  it.each<[string, () => Buffer]>([
    [
      'negative owners',
      () =>
        layerWithRecords(
          [
            ['uid', '-2'],
            ['gid', '-30'],
          ],
          file('a'),
        ),
    ],
    [
      'records without a value',
      () =>
        layerWithRecords(
          [
            ['uid', ''],
            ['path', ''],
          ],
          { ...file('a'), uid: 7 },
        ),
    ],
    [
      'records that come twice',
      () =>
        layerWithRecords(
          [
            ['path', 'b'],
            ['path', 'c'],
          ],
          file('a'),
        ),
    ],
    ...['0.0', '0.1', '1.0'].map((version): [string, () => Buffer] => [
      `sparse files of version ${version}`,
      () => tarOf('--sparse', '--format=pax', `--sparse-version=${version}`),
    ]),
    ['long names of GNU', () => tarOf('--format=gnu', `--transform=s,^,${'directory/'.repeat(30)},`)],
    ['archives older than ustar', () => tarOf('--format=v7')],
  ])('%s', async (_name, layer) => {
    const expected = await unpacked([layer()]);
    expect(expected).not.toBeNull();
    expect(await flattened([layer()])).toEqual(expected);
  });

  it('arbitrary layers', async () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const target = fc.tuple(fc.constantFrom('', '/', '../', './'), path).map((parts) => parts.join(''));
    const member = fc.oneof(
      fc.tuple(path, fc.constantFrom('x', 'y'), fc.constantFrom(0o600, 0o755)).map((one) => file(...one)),
      fc.tuple(path, fc.constantFrom(0o700, 0o755)).map((one) => directory(...one)),
      fc.tuple(path, target).map((one) => symlink(...one)),
      fc.tuple(path, path).map((one) => hardlink(...one)),
      path.map((one) => file(one.replace(/([^/]+)$/, '.wh.$1'), '')),
      path.map((one) => file(`${one}/.wh..wh..opq`, '')),
    );
    const layer = fc.array(member, { minLength: 1, maxLength: 6 });
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (members) => {
        const layers = members.map((one) => layerOf(...one));
        const expected = await unpacked(layers);
        expect(await flattened(layers)).toEqual(expected);
        if (expected) accepted += 1;
      }),
      { numRuns: 100 },
    );
    expect(accepted).toBeGreaterThan(5);
  });
});
