import { expect, it } from 'vitest';
import { dependenciesOf } from './install.ts';
import type { LocalRepository } from './repository.ts';

/** A repository whose commit has these files, of which the directory `at` is indexed. */
const repositoryOf = (files: Readonly<Record<string, string>>, at = ''): LocalRepository => ({
  ...{ path: '/somewhere', name: 'local/somewhere', commit: '0'.repeat(40), root: at },
  has: async (path) => path in files,
  file: async (path) => Buffer.from(files[path] ?? ''),
  pack() {
    throw new Error('nobody asks for it');
  },
});

it('finds the dependencies that a project names, of which a few are indexed', async () => {
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`@scope/one-${at}`, '1']));
  const files = { 'at/package.json': JSON.stringify({ dependencies: many }), 'at/package-lock.json': '' };
  const found = await dependenciesOf(repositoryOf(files, 'at'));
  expect(found).toHaveLength(20);
  expect(found).toContain('@scope/one-0');
  const none = { 'package.json': '{}', 'package-lock.json': '' };
  expect(await dependenciesOf(repositoryOf(none))).toEqual([]);
});

it.each([
  ['package.json', '--install runs npm ci, and the commit has no package.json'],
  ['package-lock.json', '--install runs npm ci, and the commit has no package-lock.json'],
])('says that a project without %s cannot be installed', async (missing, message) => {
  const { [missing]: _, ...files } = { 'package.json': '{}', 'package-lock.json': '' } as Record<
    string,
    string
  >;
  await expect(dependenciesOf(repositoryOf(files))).rejects.toMatchObject({ code: 'demo_failed', message });
});

it.each(['../../etc', '/etc', 'a/../b', '@a/b/c', '.git'])(
  'takes no dependency of the name %s',
  async (name) => {
    const text = JSON.stringify({ dependencies: { [name]: '1' } });
    const files = { 'package.json': text, 'package-lock.json': '' };
    await expect(dependenciesOf(repositoryOf(files))).rejects.toMatchObject({ code: 'demo_failed' });
  },
);
