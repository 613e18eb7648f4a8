import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

/** The packages that each package may import, so that imports go in one direction. `*` stands for all packages. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  base: [],
  protocol: [],
  disk: ['base'],
  git: ['base'],
  scip: ['base'],
  yaml: [],
  'index-config': ['base', 'yaml'],
  'batch-spec': ['base', 'yaml'],
  egress: ['base', 'protocol'],
  oci: ['base', 'disk', 'egress'],
  microvm: ['base'],
  client: ['base', 'protocol', 'disk', 'batch-spec'],
  executor: ['base', 'protocol', 'disk', 'egress', 'git', 'oci', 'microvm'],
  instance: ['base', 'protocol', 'disk', 'git', 'index-config', 'scip', 'batch-spec'],
  'src-cli': ['base', 'scip', 'client', 'protocol'],
  fumehood: ['*'],
};
const packagesDir = resolve(import.meta.dirname, '../../packages');

/** Returns every module specifier in a source file: of static, type-only and dynamic imports and of re-exports. */
function specifiers(source: string): string[] {
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)['"]([^'"]+)['"]/gm;
  return [...source.matchAll(pattern)].map((match) => match[1] as string);
}

/** Returns the imports of a file that break the rules of its package. */
function violations(name: string, file: string, source: string): string[] {
  const found: string[] = [];
  for (const specifier of specifiers(source)) {
    const internal = /^@fumehood\/([^/]+)(\/.*)?$/.exec(specifier);
    if (internal) {
      const target = internal[1] as string;
      const rule = allowed[name] ?? [];
      if (!rule.includes('*') && !rule.includes(target)) found.push(`${file} imports ${specifier}`);
      if (internal[2]) found.push(`${file} reaches into ${specifier}: import the package's index`);
    } else if (specifier.startsWith('.')) {
      const target = relative(join(packagesDir, name), resolve(dirname(file), specifier));
      if (target.startsWith('..')) found.push(`${file} leaves its package by ${specifier}`);
    }
  }
  return found;
}

/**
 * Returns the groups of files that import each other in a circle, type-only imports included. `imports` has the files that each
 * file imports.
 */
function circles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const reached = (from: string) => {
    const found = new Set<string>();
    const open = [from];
    for (let file = open.pop(); file !== undefined; file = open.pop())
      for (const next of imports.get(file) ?? []) {
        if (found.has(next)) continue;
        found.add(next);
        open.push(next);
      }
    return found;
  };
  const inCircles = [...imports.keys()].filter((file) => reached(file).has(file));
  const groups = inCircles.map((file) =>
    inCircles.filter((other) => reached(file).has(other) && reached(other).has(file)),
  );
  return [...new Map(groups.map((group) => [group.toSorted().join(), group])).values()];
}

const names = readdirSync(packagesDir);

test('no files import each other in a circle', () => {
  const root = resolve(packagesDir, '..');
  const files = ['packages', 'test', 'bench', 'images'].flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
      .map((file) => join(root, directory, file)),
  );
  const imports = new Map(
    files.map((file) => {
      const relatives = specifiers(readFileSync(file, 'utf8')).filter((specifier) =>
        specifier.startsWith('.'),
      );
      return [file, relatives.map((specifier) => resolve(dirname(file), specifier))];
    }),
  );
  expect(imports.size).toBeGreaterThan(500);
  expect(circles(imports)).toEqual([]);
});

test('the check finds a circle', () => {
  const imports = { a: ['b'], b: ['c', 'd'], c: ['a'], d: [] };
  expect(circles(new Map(Object.entries(imports)))).toEqual([['a', 'b', 'c']]);
});

test('every package has a rule', () => {
  expect(names.filter((name) => !(name in allowed))).toEqual([]);
});

test.each(names)('%s imports only the packages below it', (name) => {
  const root = join(packagesDir, name, 'src');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  expect(files.length).toBeGreaterThan(0);
  const found = files.flatMap((file) =>
    violations(name, join(root, file), readFileSync(join(root, file), 'utf8')),
  );
  expect(found).toEqual([]);
});

test('the check finds forbidden imports', () => {
  const file = join(packagesDir, 'instance/src/main.ts');
  expect(violations('instance', file, "import { x } from '@fumehood/oci';")).toHaveLength(1);
  expect(
    violations('instance', file, "const x = await import('@fumehood/base/src/errors.ts');"),
  ).toHaveLength(1);
  expect(violations('instance', file, "export { x } from '../../oci/src/index.ts';")).toHaveLength(1);
  expect(violations('instance', file, "import { x } from '@fumehood/base';")).toHaveLength(0);
});
