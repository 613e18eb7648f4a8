import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allRoutes } from './routes.ts';

const files = ['api', 'executor'].flatMap((folder) =>
  readdirSync(join(import.meta.dirname, folder))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => `${folder}/${name}`),
);

test.each(files)('%s registers one group of routes, which is in the list', async (file) => {
  const module = (await import(join(import.meta.dirname, file))) as Record<string, unknown>;
  const groups = Object.keys(module).filter((name) => name.endsWith('Routes'));
  expect(groups).toHaveLength(1);
  expect(allRoutes).toContain(module[groups[0] as string]);
});

test('every group in the list has a file', () => {
  expect(new Set(allRoutes).size).toBe(files.length);
});
