import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const remedies = (source: string) => source.match(/remedy(?:,|:)[^;]*?(?:\n {2}\}\)|,\n|$)/g) ?? [];
const deletesData = /clean --all|rm -r/;
const offers = (source: string) => remedies(source).filter((remedy) => deletesData.test(remedy));

test('no remedy of an error has a user delete all jobs and indexes', () => {
  const files = globSync('packages/*/src/**/*errors.ts', { cwd: root });
  expect(files.length).toBeGreaterThan(5);
  expect(files.flatMap((file) => offers(readFileSync(join(root, file), 'utf8')))).toEqual([]);
  expect(offers("    remedy: 'Read the log. `fumehood clean --all` starts over.',\n  });")).toHaveLength(1);
});
