import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const formerName = ['glove', 'box'].join('');
/** The one file that may contain the former name: it finds state directories of that name. */
const allowed = 'packages/fumehood/src/state/former-name.ts';

test('the former name of this product occurs in one file only', () => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '' && existsSync(resolve(root, file)));
  expect(files).toContain(allowed);
  const pattern = new RegExp(formerName, 'i');
  const found = files.filter(
    (file) => pattern.test(file) || pattern.test(readFileSync(resolve(root, file), 'latin1')),
  );
  expect(found).toEqual([allowed]);
});
