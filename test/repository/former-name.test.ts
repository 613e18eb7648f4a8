import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root, trackedFiles } from './tracked.ts';

const formerName = ['glove', 'box'].join('');
/** The one file that may contain the former name: it finds state directories of that name. */
const allowed = 'packages/fumehood/src/state/former-name.ts';

test('the former name of this product occurs in one file only', () => {
  const files = trackedFiles();
  expect(files).toContain(allowed);
  const pattern = new RegExp(formerName, 'i');
  const found = files.filter(
    (file) => pattern.test(file) || pattern.test(readFileSync(join(root, file), 'latin1')),
  );
  expect(found).toEqual([allowed]);
});
