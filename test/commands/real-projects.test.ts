import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NaiveIndex } from '../../bench/codeintel/naive.ts';
import { build as buildPython } from '../../images/scip-python/build.ts';
import { build as buildTypescript } from '../../images/scip-typescript/build.ts';
import { findDefinitions, findReferences } from '../../packages/instance/src/codeintel/answers.ts';
import { storeUpload } from '../../packages/instance/src/codeintel/store.ts';
import { connect, type Db } from '../../packages/instance/src/db/connect.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import type { Leased } from '../../packages/instance/src/queue/queue.ts';
import { leaseOf, testQueue } from '../../packages/instance/src/queue/testing.ts';
import type { Mirrors } from '../../packages/instance/src/repos/mirrors.ts';
import { unpackImage } from '../run-image.ts';

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
const commit = '0'.repeat(40);

let root: string;
let server: TestServer;
let db: Db;
let run: Readonly<Record<'typescript' | 'python', Awaited<ReturnType<typeof unpackImage>>>>;
const { add, take } = testQueue(() => db);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'real-'));
  server = openTestServer();
  db = connect(await server.clone());
  const options = { directory: join(root, 'images'), onProgress: () => {} };
  run = {
    typescript: await unpackImage((await buildTypescript(options)).archive, join(root, 'typescript')),
    python: await unpackImage((await buildPython(options)).archive, join(root, 'python')),
  };
}, 600_000);
afterAll(async () => {
  await db.destroy();
  await server.stop();
  rmSync(root, { recursive: true });
});

/** Fetches a package as it was published, and returns the directory of its files. */
function fetchPackage(language: string, name: string, version: string): string {
  const work = join(root, 'fetched', name);
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
  return join(work, 'package');
}

async function store(repository: string, index: Buffer): Promise<void> {
  await add({ queue: 'codeintel', repository, commit });
  const grant = { ...leaseOf((await take({ queues: ['codeintel'] }, 86_400_000)) as Leased), root: null };
  const place = { repository, commit, root: '', indexer: 'scip', indexerVersion: '1' };
  const chunks = (async function* chunks() {
    yield index;
  })();
  await storeUpload(db, { grant }, place, chunks);
}

describe('the index of a package’s sources', () => {
  it.each(projects)(
    'answers as a naive reading of it does: %s, %s %s',
    { timeout: 300_000 },
    async (language, name, version) => {
      const project = fetchPackage(language, name, version);
      run[language](
        project,
        language === 'typescript'
          ? ['index', '--infer-tsconfig', '--no-progress-bar']
          : ['index', '.', '--project-name', name, '--project-version', version],
      );
      const index = readFileSync(join(project, 'index.scip'));
      const repository = `packages/${name}`;
      await store(repository, index);
      const file = join(root, `${name}.scip.gz`);
      writeFileSync(file, gzipSync(index));
      const naive = new NaiveIndex(file);
      const deps = { db, mirrors: null as unknown as Mirrors };
      // Other packages refer to the same symbols of libraries.
      const own = ({ locations }: Awaited<ReturnType<typeof findReferences>>) =>
        locations
          .filter((one) => one.repository === repository)
          .map(({ path, line, character }) => `${path}:${line}:${character}`);
      let found = 0;
      const places = naive.sample(sampled);
      for (const place of places) {
        const asked = { repository, revision: commit, ...place };
        const definitions = [...new Set(own(await findDefinitions(deps, asked)))].sort();
        expect(definitions, JSON.stringify(place)).toEqual(naive.definitions(place));
        if (definitions.length > 0) found += 1;
        const references = new Set<string>();
        for (let after: string | undefined; ; ) {
          const page = await findReferences(deps, {
            ...asked,
            limit: 100,
            ...(after !== undefined && { after }),
          });
          for (const one of own(page)) references.add(one);
          if (page.next === null) break;
          after = page.next;
        }
        expect([...references].sort(), JSON.stringify(place)).toEqual(naive.references(place));
      }
      expect(places.length).toBeGreaterThanOrEqual(sampled - 1);
      expect(found).toBeGreaterThan(sampled / 4);
    },
  );
});
