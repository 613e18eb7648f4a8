import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { CodeLocations, IndexStatus } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NaiveIndex } from '../../bench/codeintel/naive.ts';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { Stack } from '../stack.ts';

/** Sources of packages that many use, as they were published. */
const projects = [
  ['typescript', 'immer', '10.1.1'],
  ['typescript', 'zod', '3.23.8'],
  ['typescript', 'commander', '12.1.0'],
  ['typescript', 'semver', '7.7.2'],
  ['python', 'requests', '2.32.3'],
  ['python', 'click', '8.1.7'],
  ['python', 'itsdangerous', '2.2.0'],
  ['python', 'pluggy', '1.5.0'],
] as const;
/** Places that are asked about in each. */
const sampled = 200;

let stack: Stack;
const remotes: GitServer[] = [];
const images = new Map<string, string>();
beforeAll(async () => {
  stack = await Stack.make();
  await fumehood('up');
  for (const language of ['typescript', 'python'])
    await fumehood('indexers', 'set', language, `scip-${language}`);
  for (const { language, image } of await stack.client().code.indexers()) images.set(language, image);
}, 600_000);
afterAll(async () => {
  await stack.stop();
  for (const remote of remotes) remote.stop();
});

async function fumehood(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await stack.fumehood(args);
  expect(code, `${args.join(' ')}: ${stdout}${stderr}${stack.logs()}`).toBe(0);
}

/** Fetches a package as it was published into a directory. */
function fetchPackage(language: string, name: string, version: string, directory: string): void {
  const work = join(stack.state, 'fetched', name);
  mkdirSync(work, { recursive: true });
  const execute = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: work, stdio: 'pipe' });
  if (language === 'typescript') {
    execute('npm', 'pack', '--silent', `${name}@${version}`);
    execute('tar', '-xzf', `${name}-${version}.tgz`);
  } else {
    const wheels = ['--no-deps', '--only-binary', ':all:', `${name}==${version}`];
    execute('/usr/bin/python3', '-m', 'pip', 'download', '-q', ...wheels);
    const [wheel = ''] = readdirSync(work);
    execute('/usr/bin/python3', '-m', 'zipfile', '-e', wheel, 'package');
  }
  for (const entry of readdirSync(join(work, 'package')))
    renameSync(join(work, 'package', entry), join(directory, entry));
}

/** Serves a package in a git repository, which says how it is indexed without its dependencies. */
async function servePackage(language: string, name: string, version: string): Promise<GitServer> {
  const remote = await startGitServer();
  remotes.push(remote);
  fetchPackage(language, name, version, remote.directory);
  const args =
    language === 'typescript'
      ? ['--infer-tsconfig', '--no-progress-bar']
      : ['.', '--project-name', name, '--project-version', version];
  const job = { indexer: images.get(language), indexer_args: [`scip-${language}`, 'index', ...args] };
  remote.commit({ 'fumehood.yaml': JSON.stringify({ index_jobs: [job] }) });
  return remote;
}

/** Has a repository indexed, and keeps the file that the executor takes out of the VM and uploads. Returns its path. */
async function indexRepository(name: string): Promise<string> {
  const kept = join(stack.state, `${name.replaceAll('/', '-')}.scip`);
  const work = join(stack.state, 'executor/work');
  const look = () => {
    if (existsSync(kept) || !existsSync(work)) return;
    for (const job of readdirSync(work)) {
      const file = join(work, job, 'upload/index.scip');
      // A link to a file that is still being written leads to all of it in the end.
      if (existsSync(file)) linkSync(file, kept);
    }
  };
  const looking = setInterval(look, 20);
  try {
    const options = ['--network', 'none', '--memory', '2048', '--accept', 'vm-emulated', '--wait'];
    await fumehood('index', name, ...options);
  } finally {
    clearInterval(looking);
  }
  return kept;
}

/** Reads the index by other code than the product's. */
function readNaively(file: string): NaiveIndex {
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
  return new NaiveIndex(`${file}.gz`);
}

/** What was seen of an index's job. */
async function describeJob({ commits, indexes }: IndexStatus) {
  const [job] = commits.flatMap(({ jobs }) => jobs);
  const [attempt] = await stack.client().attempts(job?.id ?? 0);
  const seconds = (Date.parse(attempt?.endedAt ?? '') - Date.parse(attempt?.startedAt ?? '')) / 1_000;
  return { tier: attempt?.tier, documents: indexes[0]?.documents, seconds: Math.round(seconds) };
}

describe('the index that a VM makes of a package’s sources in git', () => {
  it.each(projects)(
    'answers as a naive reading of it does: %s, %s %s',
    { timeout: 900_000 },
    async (language, name, version) => {
      const { code } = stack.client();
      const repository = `packages/${name}`;
      await fumehood('repos', 'add', (await servePackage(language, name, version)).url, '--name', repository);
      const naive = readNaively(await indexRepository(repository));
      // Other packages refer to the same symbols of libraries.
      const own = ({ precision, locations }: CodeLocations) => {
        expect(precision).toBe('exact');
        return locations
          .filter((one) => one.repository === repository)
          .map(({ path, line, character }) => `${path}:${line}:${character}`);
      };
      const compared = { definitions: 0, references: 0 };
      const places = naive.sample(sampled);
      for (const place of places) {
        const asked = { repository, ...place };
        const definitions = [...new Set(own(await code.definition(asked)))].sort();
        expect(definitions, JSON.stringify(place)).toEqual(naive.definitions(place));
        if (definitions.length > 0) compared.definitions += 1;
        const references = new Set<string>();
        for (let after: string | undefined; ; ) {
          const page = await code.references({ ...asked, limit: 100, ...(after !== undefined && { after }) });
          for (const one of own(page)) references.add(one);
          if (page.next === null) break;
          after = page.next;
        }
        expect([...references].sort(), JSON.stringify(place)).toEqual(naive.references(place));
        compared.references += references.size;
      }
      expect(places.length).toBeGreaterThanOrEqual(sampled - 1);
      expect(compared.definitions).toBeGreaterThan(sampled / 4);
      const job = await describeJob(await code.status(repository));
      expect(job.tier).toMatch(/^vm-/);
      console.log(JSON.stringify({ name, version, ...job, places: places.length, ...compared }));
    },
  );
});
