import { describe, expect, it } from 'vitest';
import { dependencyOf, packageOfRepository, repositoryOfPackage } from './packages.ts';

describe('the package that a symbol names', () => {
  it.each([
    ['scip-typescript npm left-pad 1.3.0 `index.d.ts`/', 'npm', 'left-pad', '1.3.0'],
    ['scip-typescript npm @types/node 22.1.0-beta.1 `fs.d.ts`/', 'npm', '@types/node', '22.1.0-beta.1'],
    ['scip-python python PyYAML 6.0.1 yaml/load().', 'python', 'PyYAML', '6.0.1'],
    ['scip-python python pkg 1!2.0rc1.post2 pkg/f().', 'python', 'pkg', '1!2.0rc1.post2'],
  ])('%s', (symbol, manager, name, version) => {
    const found = dependencyOf(symbol);
    expect(found).toEqual({ manager, name, version });
    expect(packageOfRepository(repositoryOfPackage({ manager, name, version }))).toEqual(found);
  });

  it.each([
    ['local 1'],
    ['scip-typescript npm . . `index.d.ts`/'],
    ['scip-go gomod github.com/acme/lib v1.0.0 lib/F().'],
    ['scip-python python python-stdlib 3.11 json/dumps().'],
    // The version of a commit, of a tag, of a range, and what a package manager would take for something else than a name.
    ...[
      ...['0123456789abcdef', 'latest', '*', '1.x', '^1.0.0', '', 'npm:evil@1.0.0', '1.0.0;id', '1.0.0`id`'],
    ].map((version) => [`scip-typescript npm left-pad ${version} x/`]),
    ...[
      '--registry=http://x',
      '-g',
      '../evil',
      '/etc/passwd',
      'git+ssh://x',
      'file:x',
      'Evil',
      'a/b',
      '@a',
      '.x',
      'a\nb',
      '$(id)',
      'a  b',
      '__proto__',
    ].map((name) => [`scip-typescript npm ${name} 1.0.0 x/`]),
    ...['-r', '--index-url=x', '.', './x', 'x[extra]', 'x @ http://y', 'x;id', 'x_', 'x y'].map((name) => [
      `scip-python python ${name.replaceAll(' ', '  ')} 1.0 x/`,
    ]),
    ...['1.0,>2', '==1', '1.*', '1.0 ; id', '1.0`', 'v 1'].map((version) => [
      `scip-python python requests ${version.replaceAll(' ', '  ')} x/`,
    ]),
    [`scip-typescript npm ${'a'.repeat(215)} 1.0.0 x/`],
    [`scip-typescript npm a 1.0.0-${'a'.repeat(200)} x/`],
    ['scip-typescript __proto__ a 1.0.0 x/'],
  ])('is none that is fetched: %s', (symbol) => {
    expect(dependencyOf(symbol)).toBeNull();
  });

  it.each(['acme/greeter', 'pkg', 'pkg:npm/a', 'pkg:npm/a@latest', 'pkg:go/a@1.0.0', 'pkg:npm/../a@1.0.0'])(
    'is none of %s',
    (repository) => expect(packageOfRepository(repository)).toBeNull(),
  );
});
