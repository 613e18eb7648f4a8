import { execFileSync } from 'node:child_process';
import {
  cpSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDocument, readIndex } from '@fumehood/scip';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Stack } from '../stack.ts';

interface DemoReport {
  readonly job: { readonly id: number; readonly state: string; readonly attempt: number };
  readonly isolation: { readonly tier: string; readonly vmm: string };
  readonly inside: { readonly inspection: { readonly found: number; readonly controlFound: boolean } };
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly index: Readonly<Record<'documents' | 'occurrences' | 'symbols', number>>;
  readonly definition: {
    readonly query: { readonly path: string; readonly line: number; readonly character: number };
    readonly path: string;
    readonly line: number;
    readonly text: string;
  };
  readonly leftOver: Readonly<Record<string, number>>;
}

let stack: Stack;
let directory: string;
beforeAll(async () => {
  stack = await Stack.make({ fresh: true });
  directory = mkdtempSync(join(tmpdir(), 'repositories-'));
});
afterAll(async () => {
  await stack.stop();
  rmSync(directory, { recursive: true });
});
afterEach(() => expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]));

/** Makes a git repository from the sources of an installed npm package: they are below `at`, and `more` files are added. */
function repositoryOf(name: string, at: string, more: Readonly<Record<string, string>> = {}): string {
  const path = join(directory, name.replace('/', '-'));
  const from = join(import.meta.dirname, '../../node_modules', name);
  mkdirSync(join(path, at), { recursive: true });
  for (const part of ['src', 'package.json'])
    cpSync(join(from, part), join(path, at, part), { recursive: true });
  return commit(path, more);
}

function commit(path: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  const git = (...args: string[]) => execFileSync('git', ['-C', path, ...args], { stdio: 'pipe' });
  git('init', '-q');
  git('add', '-A');
  git('-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-qm', 'first');
  return path;
}

async function demo(args: readonly string[]): Promise<{ report: DemoReport; stderr: string }> {
  const { code, stdout, stderr } = await stack.fumehood(['demo', '--json', ...args]);
  expect(code, stderr).toBe(0);
  return { report: JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as DemoReport, stderr };
}

/** Checks a definition against the sources alone, without the index: the name at the reference is in the line of the definition. */
function expectDefines({ definition }: DemoReport, repository: string): void {
  const lineOf = (path: string, line: number) =>
    readFileSync(join(repository, path), 'utf8').split('\n')[line - 1] as string;
  const { query, path, line, text } = definition;
  const name = /^[\w$]+/.exec(lineOf(query.path, query.line).slice(query.character - 1))?.[0] as string;
  expect(name).toMatch(/./);
  expect(text).toBe(lineOf(path, line));
  expect(text).toMatch(new RegExp(`\\b${name.replaceAll('$', '\\$')}\\b`));
}

/** Runs the indexer of the image directly on this host, and counts what is in its index. */
async function countsOfDirectRun(root: string, flags: readonly string[]): Promise<DemoReport['index']> {
  const image = join(directory, 'indexer');
  const entrypoint = 'opt/scip-typescript/node_modules/@sourcegraph/scip-typescript/dist/src/main.js';
  if (readdirSync(directory).indexOf('indexer') < 0) {
    const images = join(stack.state, 'images');
    const archive = readdirSync(images, { recursive: true, encoding: 'utf8' }).find((name) =>
      name.endsWith('.tar'),
    );
    const blobs = join(directory, 'blobs');
    mkdirSync(image);
    mkdirSync(blobs);
    execFileSync('tar', ['-xf', join(images, archive as string), '-C', blobs]);
    const document = (digest: string) =>
      JSON.parse(readFileSync(join(blobs, 'blobs', digest.replace(':', '/')), 'utf8')) as {
        layers: { digest: string }[];
      };
    const index = JSON.parse(readFileSync(join(blobs, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    const [layer = { digest: '' }] = document(index.manifests[0]?.digest as string).layers;
    const file = join(blobs, 'blobs', layer.digest.replace(':', '/'));
    execFileSync('tar', ['-xf', file, '-C', image, 'opt/scip-typescript']);
  }
  const output = join(directory, 'direct.scip');
  const args = [join(image, entrypoint), 'index', '--no-progress-bar', '--output', output, ...flags];
  execFileSync(process.execPath, args, { cwd: root, stdio: 'pipe' });
  const counts = { documents: 0, occurrences: 0, symbols: 0 };
  for await (const part of readIndex(createReadStream(output))) {
    if (part.kind !== 'document') continue;
    counts.documents += 1;
    for (const { kind } of readDocument(part.bytes)) if (kind !== 'path') counts[`${kind}s`] += 1;
  }
  return counts;
}

const phases = [
  ...['workspace', 'image', 'boot', 'guest', 'indexer', 'collect', 'inspect', 'upload', 'destroyed'],
];

/** Names with a NUL and with an escaped one, half of a surrogate pair, which the indexer does not write as UTF-8, and ends of lines. */
const oddSource = [
  'export const odd = { "\\u0000": 1, "raw\0key": 2 };\r\u2028export const half = "\\udc00" as const;',
  'export const sum = odd["\\u0000"] + odd["raw\0key"] + half.length;\n',
].join('\n');

describe('the demo of another repository', () => {
  test.each([
    ['indexes a directory without a tsconfig.json', 'pg-protocol', 'packages/protocol', {}],
    [
      'indexes the whole repository, with a tsconfig.json',
      '@jridgewell/trace-mapping',
      '',
      {
        'tsconfig.json': '{"compilerOptions":{"strict":true,"target":"es2022"},"include":["src"]}',
        'src/odd.ts': oddSource,
      },
    ],
  ])('%s', async (_, name, at, more) => {
    const path = repositoryOf(name, at, more);
    const { report, stderr } = await demo(['--repo', path, ...(at ? ['--root', at] : [])]);
    const sources = execFileSync('git', ['-C', path, 'ls-files', '*.ts'], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(report).toMatchObject({
      job: { state: 'completed', attempt: 1 },
      isolation: { vmm: 'qemu' },
      inside: { inspection: { found: 0, controlFound: true } },
      index: { documents: sources.length },
      leftOver: { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 },
    });
    expect(report.index.symbols).toBeGreaterThan(sources.length);
    expect(report.index.occurrences).toBeGreaterThan(report.index.symbols);
    expect(Object.keys(report.phasesMs)).toEqual(phases);
    expectDefines(report, path);
    const flags = at ? ['--infer-tsconfig'] : [];
    expect(await countsOfDirectRun(join(path, at), flags)).toEqual(report.index);
    expect(stderr).toContain('stay unresolved');
    if (at) expect(stderr).toContain('infers');
  });
});

describe('a demo that fails', () => {
  const tiny = () =>
    commit(join(directory, 'tiny'), {
      'a.ts': 'export const one = 1;\n',
      'b.ts': "import { one } from './a.js';\nexport const two = one + one;\n",
      'tsconfig.json': '{}',
    });

  test('because the indexer failed names the step and its exit code', async () => {
    const path = commit(join(directory, 'broken'), {
      'a.ts': 'export {};\n',
      'tsconfig.json': '{ "files": [] }',
    });
    const { code, stdout, stderr } = await stack.fumehood(['demo', '--repo', path]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/✗ indexer/);
    expect(stderr).toMatch(/the step indexer .*exit code \d+/s);
    expect(stderr).not.toMatch(/^\s+at .*\.(ts|mjs):\d+/m);
  });

  let path: string;
  test.each([
    ['before the VM starts', /▸ image/],
    ['during a step', /▸ indexer/],
    ['during the upload', /▸ upload/],
  ])('because of Ctrl-C %s leaves nothing behind and exits with 130', async (_, interruptAt) => {
    path ??= tiny();
    const { code, stdout, stderr } = await stack.fumehood(['demo', '--repo', path], { interruptAt });
    expect(code, stderr).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toContain('stopping the job');
    expect(stderr).not.toMatch(/^\s+at .*\.(ts|mjs):\d+/m);
  });
});
