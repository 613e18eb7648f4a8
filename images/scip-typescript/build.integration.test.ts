import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOfFile } from '@fumehood/oci';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { long } from '../../test/long.ts';
import { unpackImage } from '../../test/run-image.ts';
import { build } from './build.ts';

// The gate builds the image for the demo and runs it there; the night looks at each part.
let root: string;
let built: { archive: string; digest: string };
let progress: string[];
const make = () => build({ directory: join(root, 'images'), onProgress: (line) => void progress.push(line) });

describe.runIf(long)('the image of the TypeScript indexer', () => {
  beforeAll(async () => {
    progress = [];
    root = await mkdtemp(join(tmpdir(), 'fumehood-recipe-'));
    built = await make();
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

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
    const project = join(root, 'project');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{"name":"project","version":"1.0.0"}');
    await writeFile(join(project, 'one.ts'), 'export const theAnswer = 42;\n');
    const run = await unpackImage(built.archive, join(root, 'tree'));
    run(project, ['index', '--infer-tsconfig', '--no-progress-bar']);
    expect(await readFile(join(project, 'index.scip'), 'latin1')).toContain('theAnswer');
  });
});
