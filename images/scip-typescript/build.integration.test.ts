import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { digestOfFile, flattenImage, type ImageArchive, openArchive } from '@fumehood/oci';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './build.ts';

let root: string;
let built: { archive: string; digest: string };
let image: ImageArchive;
let progress: string[];
const make = () => build({ directory: join(root, 'images'), onProgress: (line) => void progress.push(line) });

beforeAll(async () => {
  progress = [];
  root = await mkdtemp(join(tmpdir(), 'fumehood-recipe-'));
  built = await make();
  image = await openArchive(built.archive);
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('the image of the TypeScript indexer', () => {
  it('is one archive with the reported digest, and no temporary file is left', async () => {
    expect(await digestOfFile(built.archive)).toBe(built.digest);
    expect(await readdir(join(root, 'images'))).toHaveLength(2);
    expect(progress).toHaveLength(3);
  });

  it('is built only once', async () => {
    const { mtimeMs } = await stat(built.archive);
    progress = [];
    expect(await make()).toEqual(built);
    expect(progress).toEqual([]);
    expect((await stat(built.archive)).mtimeMs).toBe(mtimeMs);
  });

  it('indexes a project without anything else', { timeout: 120_000 }, async () => {
    const tree = join(root, 'tree');
    const project = join(root, 'project');
    await mkdir(tree);
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{"name":"project","version":"1.0.0"}');
    await writeFile(join(project, 'one.ts'), 'export const theAnswer = 42;\n');
    const layers = await buffer((await flattenImage(image)).tar);
    execFileSync('tar', ['-x', '--no-same-owner', '-C', tree], { input: layers });
    const { entrypoint, env } = image.config;
    const variables = env.flatMap((one) => ['--setenv', ...(one.split('=', 2) as [string, string])]);
    const jail = ['--unshare-all', '--clearenv', '--bind', tree, '/', '--proc', '/proc', '--dev', '/dev'];
    const work = ['--tmpfs', '/tmp', '--bind', project, '/mnt', '--chdir', '/mnt'];
    const index = ['index', '--infer-tsconfig', '--no-progress-bar'];
    execFileSync('/usr/bin/bwrap', [...jail, ...variables, ...work, '--', ...entrypoint, ...index], {
      stdio: 'pipe',
    });
    expect(await readFile(join(project, 'index.scip'), 'latin1')).toContain('theAnswer');
  });
});
