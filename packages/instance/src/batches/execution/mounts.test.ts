import type { Step } from '@fumehood/batch-spec';
import { stepFilesMax } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { checkFiles, mountedFiles } from './mounts.ts';

const step = (path: string, mountpoint = '/tmp/x'): Step => ({
  ...{ run: 'true', container: 'alpine:3' },
  mount: [{ path, mountpoint }],
});
const sent = ['fix.sh', 'lib/a.sh', 'lib/b/c.sh', 'library.sh'].map((path) => ({
  path,
  digest: `of ${path}`,
  bytes: 1,
}));
const targets = (path: string, mountpoint?: string) =>
  mountedFiles(step(path, mountpoint), 0, sent).map(({ target, digest }) => `${target} ${digest}`);

test.each([
  ['./fix.sh', ['/tmp/x of fix.sh']],
  ['lib/../fix.sh', ['/tmp/x of fix.sh']],
  ['lib/', ['/tmp/x/a.sh of lib/a.sh', '/tmp/x/b/c.sh of lib/b/c.sh']],
  ['lib/b', ['/tmp/x/c.sh of lib/b/c.sh']],
])('the mount %s has its files', (path, expected) => {
  expect(targets(path)).toEqual(expected);
});

test('the mount of the whole directory has all files', () => {
  expect(targets('.')).toHaveLength(4);
});

test.each([
  ['../fix.sh', '/x', 'batch_step_invalid'],
  ['/etc/passwd', '/x', 'batch_step_invalid'],
  ['fix.sh', 'x', 'batch_step_invalid'],
  ['other.sh', '/x', 'batch_mount_missing'],
])('the mount of %s at %s is refused', (path, mountpoint, code) => {
  expect(() => targets(path, mountpoint)).toThrow(expect.objectContaining({ code }));
});

test('a file of a step has an absolute path', () => {
  const withFile = (path: string): Step => ({ run: 'true', container: 'alpine:3', files: { [path]: '' } });
  checkFiles([withFile('/tmp/x')], []);
  expect(() => checkFiles([withFile('/tmp/x'), withFile('x')], [])).toThrow('step 2: the file x');
});

test('a step has at most as many files as an executor takes', () => {
  const many = Array.from({ length: stepFilesMax }, (_, at) => ({ path: `d/${at}`, digest: '', bytes: 1 }));
  checkFiles([step('d')], many);
  const more: Step = { ...step('d'), files: { '/tmp/y': '' } };
  expect(() => checkFiles([more], many)).toThrow('step 1: it has 401 files, of 400 that it may have');
});
