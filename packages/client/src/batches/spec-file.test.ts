import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readSpecFile } from './spec-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-spec-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const specWith = (...paths: string[]) => `name: greet
steps:
  - run: run
    container: alpine:3
    mount: ${JSON.stringify(paths.map((path) => ({ path, mountpoint: '/tmp/x' })))}
changesetTemplate: { title: a, branch: b, commit: { message: c } }
`;
const read = (text: string) => {
  const path = join(directory, 'batch.spec.yaml');
  writeFileSync(path, text);
  return readSpecFile(path, Readable.from([]));
};

it('the files that steps mount are found once each, those of directories, too', async () => {
  mkdirSync(join(directory, 'scripts/deep'), { recursive: true });
  writeFileSync(join(directory, 'scripts/a.sh'), 'a');
  writeFileSync(join(directory, 'scripts/deep/b.sh'), 'bb');
  const { mounts, spec } = await read(specWith('./scripts', 'scripts/a.sh'));
  expect(spec.name).toBe('greet');
  expect(mounts).toMatchObject([
    { path: 'scripts/a.sh', bytes: 1, modifiedAt: expect.any(Date) },
    { path: 'scripts/deep/b.sh', bytes: 2 },
  ]);
});

it('stdin can be the batch spec', async () => {
  const { spec } = await readSpecFile('-', Readable.from([Buffer.from('name: piped\n')]));
  expect(spec.name).toBe('piped');
});

it.each([
  ['a file that is not there', 'gone', 'there is no such file'],
  ['a file outside of the directory', '../outside', 'it is not below the directory'],
  ['a link', 'link', 'neither a file nor a directory'],
  ['a file in a directory that is a link to elsewhere', 'away/hostname', 'it is not below the directory'],
])('%s is not sent', async (_what, path, why) => {
  writeFileSync(join(directory, '../outside'), '');
  symlinkSync('batch.spec.yaml', join(directory, 'link'));
  symlinkSync('/etc', join(directory, 'away'));
  await expect(read(specWith(path))).rejects.toMatchObject({
    code: 'mount_unusable',
    message: expect.stringContaining(why),
  });
  rmSync(join(directory, '../outside'));
});

it('a file with more than 10 MiB is not sent', async () => {
  writeFileSync(join(directory, 'large'), Buffer.alloc(10 * 2 ** 20 + 1));
  await expect(read(specWith('large'))).rejects.toMatchObject({ code: 'mount_unusable' });
});

it('a file that is no batch spec is refused with the place', async () => {
  await expect(read('name: a b\n')).rejects.toMatchObject({
    code: 'batch_spec_invalid',
    message: expect.stringContaining('batch spec:1:'),
  });
});

it('a batch spec that is not there is told with what to do', async () => {
  await expect(readSpecFile('/nonexistent', Readable.from([]))).rejects.toMatchObject({
    code: 'batch_spec_unreadable',
  });
});
