import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { inferenceLimits, inferIndexJobs } from './infer.ts';
import { defaultIndexerImages } from './recognizer.ts';
import { indexJobSpecSchema } from './spec.ts';

type Tree = Readonly<Record<string, string>>;
const infer = (tree: Tree) =>
  inferIndexJobs(
    Object.keys(tree),
    defaultIndexerImages,
    async (paths) => new Map(paths.flatMap((path) => (tree[path] === undefined ? [] : [[path, tree[path]]]))),
  );
const files = (...paths: string[]): Tree => Object.fromEntries(paths.map((path) => [path, '']));
/** The parts of a job in which languages differ: `[root, steps, indexer_args]`, with a step as `root: commands`. */
const short = async (tree: Tree) =>
  (await infer(tree)).jobs.map(({ spec }) => [
    spec.root,
    spec.steps.map(({ root, commands }) => `${root}: ${commands.join(' && ')}`),
    spec.indexer_args.join(' '),
  ]);

test.each<[string, Tree, unknown[]]>([
  ['an empty commit has no job', {}, []],
  [
    'TypeScript: each tsconfig.json is a project, and each package.json above it is installed, the root first',
    { ...files('tsconfig.json', 'a/b/tsconfig.json', 'a/package.json', 'a/yarn.lock'), 'package.json': '{}' },
    [
      ['', [': npm install'], 'scip-typescript index'],
      ['a/b', [': npm install', 'a: yarn'], 'scip-typescript index'],
    ],
  ],
  [
    'TypeScript: the lock file names the package manager',
    files(
      'n/tsconfig.json',
      'n/package.json',
      'n/package-lock.json',
      'p/tsconfig.json',
      'p/package.json',
      'p/pnpm-lock.yaml',
    ),
    [
      ['n', ['n: npm ci'], 'scip-typescript index'],
      ['p', ['p: pnpm install --frozen-lockfile'], 'scip-typescript index'],
    ],
  ],
  [
    'TypeScript: lerna.json names yarn',
    { ...files('a/tsconfig.json', 'a/package.json'), 'lerna.json': '{"npmClient":"yarn"}' },
    [['a', ['a: yarn'], 'scip-typescript index']],
  ],
  [
    'TypeScript: the root of a workspace installs for its members',
    {
      ...files('a/tsconfig.json', 'a/package.json', 'package-lock.json'),
      'package.json': '{"workspaces":["a"]}',
    },
    [['a', [': npm ci'], 'scip-typescript index']],
  ],
  [
    'TypeScript: a pnpm workspace installs for its members',
    files('a/tsconfig.json', 'a/package.json', 'package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml'),
    [['a', [': pnpm install --frozen-lockfile'], 'scip-typescript index']],
  ],
  [
    'TypeScript: examples, tests and dependencies are left out',
    files('test/tsconfig.json', 'node_modules/a/tsconfig.json'),
    [],
  ],
  [
    'JavaScript: without a tsconfig.json there is one job, and hooks do not run',
    files('a/package.json', 'package.json'),
    [['', [': npm install --ignore-scripts'], 'scip-typescript index --infer-tsconfig']],
  ],
  [
    'Python: each directory with a project file, whatever their number in it',
    files('setup.py', 'requirements.txt', 'a/pyproject.toml', 'tests/setup.py'),
    [
      ['', [], 'scip-python index'],
      ['a', [], 'scip-python index'],
    ],
  ],
  [
    'Python: metadata name the package, and the root leaves out the libraries below it',
    {
      'PKG-INFO': 'Metadata-Version: 2.1\nName: all\nVersion: 2.0\n',
      'a/lib/lib.egg-info/PKG-INFO': 'Name: lib\nVersion: 1.0.0\n',
      'setup.py': '',
    },
    [
      [
        '',
        [': pip install . || true'],
        'scip-python index . --project-name all --project-version 2.0 --exclude a/lib',
      ],
      [
        'a/lib',
        [': pip install . || true'],
        'scip-python index . --project-name lib --project-version 1.0.0',
      ],
    ],
  ],
  [
    'Python: metadata that would be another argument are not used',
    { 'PKG-INFO': 'Name: --output=/x\nVersion: 1\n', 'setup.py': '' },
    [['', [], 'scip-python index']],
  ],
  [
    'Go: each module but those of vendored code',
    files('go.mod', 'a/go.mod', 'vendor/x/go.mod', 'main.go'),
    ['', 'a'].map((root) => [
      root,
      [
        `${root}: if [ -n "\${NETRC_DATA:-}" ]; then printf "%s\\n" "$NETRC_DATA" > ~/.netrc; fi && go mod download`,
      ],
      'scip-go --no-animation',
    ]),
  ],
  [
    'Go: files in the root without a module',
    files('main.go'),
    [['', [], 'env GO111MODULE=off scip-go --no-animation']],
  ],
  ['Go: files elsewhere without a module', files('a/main.go'), []],
  [
    'Java, Kotlin, Scala: an outer build takes in the inner ones',
    files('a/pom.xml', 'a/b/build.gradle', 'a/b/X.java', 'c/build.sbt', 'c/src/Y.scala', 'd/pom.xml'),
    [
      ['a', [], 'scip-java index --build-tool=auto'],
      ['c', [], 'scip-java index --build-tool=auto'],
    ],
  ],
  [
    'Ruby: each directory with a file of its package manager',
    files('x.gemspec', 'Gemfile', 'a/Gemfile.lock'),
    [
      ['', [], 'scip-ruby-autoindex'],
      ['a', [], 'scip-ruby-autoindex'],
    ],
  ],
  ['Rust: one job for all crates', files('a/Cargo.toml', 'b/Cargo.toml'), [['', [], 'scip-rust index']]],
  [
    'C#: solutions before projects, each where it is',
    files('src/App.sln', 'src/a/a.csproj'),
    [['src', [], 'scip-dotnet index App.sln --output index.scip']],
  ],
  [
    'C#: projects where there is no solution',
    files('a/a.csproj'),
    [['a', [], 'scip-dotnet index a.csproj --output index.scip']],
  ],
])('%s', async (_, tree, expected) => {
  expect(await short(tree)).toEqual(expected);
});

test('a project that wants a version of Node gets it before it installs', async () => {
  const { jobs } = await infer({ 'tsconfig.json': '', 'package.json': '{"engines":{"node":">=18"}}' });
  const [spec] = jobs.map((job) => job.spec);
  expect(spec?.steps[0]?.commands).toHaveLength(2);
  expect(spec?.local_steps[0]).toMatch(/^if command -v n /);
});

test('languages that need a configuration are named', async () => {
  const { jobs, notes } = await infer(files('composer.json', 'src/CMakeLists.txt'));
  expect(jobs).toEqual([]);
  expect(notes.map((note) => note.split(':')[0])).toEqual(['src/CMakeLists.txt', 'composer.json']);
});

test('a commit with too many projects keeps the language with most of them, and those nearest to the root', async () => {
  const many = Array.from({ length: 150 }, (_, n) => `a/b/${n}/go.mod`);
  const { jobs, notes } = await infer(files(...many, 'z/go.mod', 'Gemfile'));
  expect(jobs).toHaveLength(inferenceLimits.jobs);
  expect(jobs[0]?.spec.root).toBe('z');
  expect(jobs.every(({ spec }) => spec.indexer === defaultIndexerImages.go)).toBe(true);
  expect(notes).toEqual(['52 jobs were left out: a commit has at most 100']);
});

test('a hostile tree is inferred in a time that grows with its size alone', async () => {
  const paths = Array.from(
    { length: 60_000 },
    (_, n) => `d${n % 300}/e${n}/${['pom.xml', 'X.java', 'tsconfig.json'][n % 3]}`,
  );
  const { jobs } = await infer(files(...paths));
  expect(jobs).toHaveLength(inferenceLimits.jobs);
});

test('what is inferred from any tree is a valid configuration', async () => {
  const names = [
    'package.json',
    'tsconfig.json',
    'PKG-INFO',
    'setup.py',
    'go.mod',
    'pom.xml',
    'A.java',
    'a.sln',
    'Gemfile',
  ];
  const path = fc.tuple(
    fc.array(fc.constantFrom('a', 'b', "c'd", 'é'), { maxLength: 3 }),
    fc.constantFrom(...names),
  );
  const tree = fc.array(fc.tuple(path, fc.oneof(fc.string(), fc.json())), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(tree, async (entries) => {
      const { jobs } = await infer(
        Object.fromEntries(entries.map(([[dirs, name], text]) => [[...dirs, name].join('/'), text])),
      );
      for (const { spec } of jobs) expect(indexJobSpecSchema.parse(spec)).toEqual(spec);
    }),
  );
});
