import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundlePrograms } from './programs.ts';

let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-bundle-'));
  await bundlePrograms(directory);
});
afterAll(() => rmSync(directory, { recursive: true }));

const read = (name: string) => readFileSync(join(directory, `${name}.mjs`), 'utf8');

it.each(['executor-helper', 'instance-helper', 'disk-maker'])(
  'the program %s starts without HTTP, which takes 20 MB of memory',
  (name) => {
    expect(read(name)).not.toMatch(/(from|require\() ?["'](node:)?https?["']/);
    expect(read('agent')).toMatch(/from ?["']node:http["']/);
  },
);

it('no program has the translations of zod, which `import { z }` would bring', () => {
  const programs = readdirSync(directory);
  expect(programs).toContain('agent.mjs');
  for (const program of programs)
    expect(readFileSync(join(directory, program), 'utf8'), program).not.toContain('zod/v4/locales/de');
});
