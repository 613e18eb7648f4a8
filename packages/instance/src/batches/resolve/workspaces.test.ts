import { parseBatchSpec } from '@fumehood/batch-spec';
import { describe, expect, test } from 'vitest';
import type { Branch, Catalog } from './catalog.ts';
import { resolveWorkspaces } from './workspaces.ts';

/** Five repositories, their branches and files. All files have the text `text of PATH`. */
const commit = (digit: string) => digit.repeat(40);
const repositories: Readonly<
  Record<string, { branches: Record<string, string>; paths: string[]; isSupported?: false }>
> = {
  'example.org/misc/repo': { branches: { main: commit('f') }, paths: ['README.md'], isSupported: false },
  'github.com/acme/api': {
    branches: { main: commit('a') },
    paths: [
      ...['README.md', 'cmd/main.go', 'go.mod', 'services/a/index.ts', 'services/a/package.json'],
      ...['services/ab/package.json', 'services/b/package.json', 'services/b/src/index.ts'],
    ],
  },
  'github.com/acme/legacy': { branches: { master: commit('c') }, paths: ['.batchignore', 'README.md'] },
  'github.com/acme/web': {
    branches: { main: commit('b') },
    paths: ['README.md', 'package.json', 'src/app.ts'],
  },
  'gitlab.com/acme/tools': {
    branches: { main: commit('d'), 'release/1': commit('e') },
    paths: ['README.md', 'go.mod'],
  },
};
const branchOf = (repository: string, name: string | null): Branch => {
  const { branches = {}, isSupported = true } = repositories[repository] ?? {};
  const branch = name ?? Object.keys(branches)[0] ?? '';
  return { repository, branch: `refs/heads/${branch}`, commit: branches[branch] ?? '', isSupported };
};
const catalog: Catalog = {
  defaultBranches: async () => Object.keys(repositories).map((name) => branchOf(name, null)),
  branch: async (repository, name) => branchOf(repository, name),
  paths: async ({ repository }) => repositories[repository]?.paths ?? [],
  grep: async ({ repository }, { text }) =>
    (repositories[repository]?.paths ?? []).filter((path) => `text of ${path}`.includes(text)),
};

const template = 'changesetTemplate: {title: t, branch: b, commit: {message: m}}';
const oneStep = `steps: [{run: 'true', container: alpine:3}]\n${template}`;
const resolve = (text: string) => resolveWorkspaces(parseBatchSpec(text), catalog);
const places = async (text: string) =>
  (await resolve(text)).map(({ repository, path }) => (path === '' ? repository : `${repository}:${path}`));

describe('a query', () => {
  test('finds the default branches of repositories by the names of files', async () => {
    const found = await resolve(
      `version: 2\nname: hello\non: [{repositoriesMatchingQuery: 'file:README.md'}]\n${oneStep}`,
    );
    expect(found.map(({ repository }) => repository)).toEqual(Object.keys(repositories));
    expect(found[2]).toEqual({
      repository: 'github.com/acme/legacy',
      branch: 'refs/heads/master',
      commit: commit('c'),
      ...{ path: '', onlyFetchWorkspace: false, fileMatches: ['README.md'], skippedSteps: [] },
      ...{ ignored: true, unsupported: false },
    });
    expect(found.filter(({ ignored }) => ignored)).toHaveLength(1);
    expect(found.filter(({ unsupported }) => unsupported)).toMatchObject([
      { repository: 'example.org/misc/repo' },
    ]);
  });

  test.each([
    ['repo:acme -repo:legacy', ['github.com/acme/api', 'github.com/acme/web', 'gitlab.com/acme/tools']],
    ['cmd/main', ['github.com/acme/api']],
    ['index services/b', ['github.com/acme/api']],
    ['repo:^github file:json$ -services', ['github.com/acme/web']],
    ['nowhere', []],
    ['cmd/main or (repo:web file:json$)', ['github.com/acme/api', 'github.com/acme/web']],
    [
      'repo:acme -(repo:legacy or file:json)',
      ['github.com/acme/api', 'github.com/acme/web', 'gitlab.com/acme/tools'],
    ],
    ['lang:typescript', ['github.com/acme/api', 'github.com/acme/web']],
    ['repo:has.path(go.mod) -repo:has.file(path:main content:cmd)', ['gitlab.com/acme/tools']],
  ])('%s finds %j', async (query, expected) => {
    expect(
      await places(`version: 2\nname: q\non: [{repositoriesMatchingQuery: '${query}'}]\n${oneStep}`),
    ).toEqual(expected);
  });

  test('finds files once, those of several queries together, and none when it selects repositories', async () => {
    const matches = async (...queries: string[]) =>
      (
        await resolve(
          `version: 2\nname: q\non: [${queries.map((query) => `{repositoriesMatchingQuery: '${query}'}`).join(', ')}]\n${oneStep}`,
        )
      ).map(({ fileMatches }) => fileMatches);
    expect(await matches('repo:web file:md$', 'repo:web file:app', 'repo:web file:app')).toEqual([
      ['README.md', 'src/app.ts'],
    ]);
    expect(await matches('repo:web file:md$ select:repo')).toEqual([[]]);
  });
});

describe('workspaces', () => {
  const mono = (on: string, pattern = 'github.com/acme/*') => `
name: mono
on: [${on}]
workspaces: [{rootAtLocationOf: package.json, in: "${pattern}", onlyFetchWorkspace: true}]
${oneStep}`;
  const [api, web, tools] = [
    '{repository: github.com/acme/api}',
    '{repository: github.com/acme/web}',
    '{repository: gitlab.com/acme/tools}',
  ];

  test('begin in the directories that have a file', async () => {
    const found = await resolve(mono(`${api}, ${web}`));
    expect(found.map(({ path, onlyFetchWorkspace }) => [path, onlyFetchWorkspace])).toEqual([
      ['services/a', true],
      ['services/ab', true],
      ['services/b', true],
      ['', false],
    ]);
    expect(found.every(({ fileMatches }) => fileMatches.length === 0)).toBe(true);
  });

  test('have the files that a query has found in their own directory', async () => {
    const found = await resolve(mono(`{repositoriesMatchingQuery: 'repo:api file:services/ab/'}`));
    expect(found.map(({ path, fileMatches }) => [path, fileMatches])).toEqual([
      ['services/a', []],
      ['services/ab', ['services/ab/package.json']],
      ['services/b', []],
    ]);
  });

  test('are the root of a repository that no pattern names, and none without the file', async () => {
    expect(await places(mono(`${api}, ${web}`, 'gitlab.com/*'))).toEqual([
      'github.com/acme/api',
      'github.com/acme/web',
    ]);
    expect(await places(mono(`${web}, ${tools}`))).toEqual(['github.com/acme/web', 'gitlab.com/acme/tools']);
    expect(await places(mono(`${web}, ${tools}`, '*'))).toEqual(['github.com/acme/web']);
  });

  test('of two entries for one repository are refused', async () => {
    const text = `name: two\non: [${web}]\nworkspaces: [{rootAtLocationOf: a}, {rootAtLocationOf: b}]\n${oneStep}`;
    await expect(resolve(text)).rejects.toMatchObject({ code: 'batch_workspaces_overlap' });
  });
});

describe('branches and conditions', () => {
  const steps = `
steps:
  - {if: '\${{ eq repository.name "gitlab.com/acme/tools" }}', run: go vet, container: golang:1}
  - {if: '\${{ matches repository.name "github.com/*" }}', run: 'true', container: alpine:3}
  - {if: '\${{ eq repository.branch "main" }}', run: 'true', container: alpine:3}
${template}`;

  test('a repository is changed on each branch that it is named with, and steps that cannot run are known', async () => {
    const found = await resolve(
      `name: r\non: [{repository: gitlab.com/acme/tools, branches: [main, release/1]}]${steps}`,
    );
    expect(found.map(({ branch, commit: at, skippedSteps }) => [branch, at, skippedSteps])).toEqual([
      ['refs/heads/main', commit('d'), [1]],
      ['refs/heads/release/1', commit('e'), [1]],
    ]);
    expect(await resolve(`name: r\non: [{repository: github.com/acme/web}]${steps}`)).toMatchObject([
      { skippedSteps: [0] },
    ]);
  });

  test('a workspace in which no step can run is left out', async () => {
    const only = `steps: [{if: '\${{ eq repository.name "x" }}', run: 'true', container: alpine:3}]\n${template}`;
    expect(await places(`name: r\non: [{repository: github.com/acme/web}]\n${only}`)).toEqual([]);
  });

  test('a repository that is named goes before one that a query finds', async () => {
    const text = `name: r\non: [{repositoriesMatchingQuery: 'repo:tools file:README'}, {repository: gitlab.com/acme/tools, branch: release/1}]\n${oneStep}`;
    expect(await resolve(text)).toMatchObject([{ branch: 'refs/heads/release/1', fileMatches: [] }]);
  });
});
