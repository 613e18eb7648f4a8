import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

/** Runs the static checks as tests, so that one number counts all checks. */
const root = resolve(import.meta.dirname, '../..');

test.each([
  ['types', ['tsc']],
  ['lint', ['oxlint', '--type-aware', '--deny-warnings']],
  ['format', ['biome', 'format']],
  ['dead code', ['knip']],
])('%s', { timeout: 120_000 }, (_name, [program = '', ...args]) => {
  const { status, stdout, stderr, error } = spawnSync(resolve(root, 'node_modules/.bin', program), args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  expect(error).toBeUndefined();
  expect(status, `${stdout}${stderr}`).toBe(0);
});
