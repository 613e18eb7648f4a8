import { expect, it } from 'vitest';
import { readDiff } from '../diff/read.ts';
import { checkChange } from './check.ts';

const files = readDiff(
  Buffer.from(
    [
      'diff --git a a\nold mode 100644\nnew mode 100755\n',
      'diff --git b c\nsimilarity index 100%\nrename from b\nrename to c\n',
      'diff --git d d\ndeleted file mode 100644\nindex 1111111..0000000\n',
    ].join(''),
  ),
);
const raw = (status: string, path: string, mode = '100644') =>
  `:100644 ${mode} ${'1'.repeat(40)} ${'2'.repeat(40)} ${status}\0${path}\0`;
const check = (...lines: string[]) => checkChange(files, Buffer.from(lines.join('')));

it('takes what the diff says', () => {
  expect(() => check(raw('M', 'a', '100755'), raw('D', 'b'), raw('A', 'c'), raw('D', 'd'))).not.toThrow();
});

it.each([
  ['another file', [raw('M', 'e')]],
  ['a file that it keeps', [raw('D', 'a')]],
  ['a file that it removes', [raw('A', 'd')]],
  ['another mode', [raw('M', 'a', '100644')]],
  ['a submodule', [raw('A', 'c', '160000')]],
])('refuses %s', (_, lines) => {
  expect(() => check(...lines)).toThrow(expect.objectContaining({ code: 'diff_invalid' }) as Error);
});
