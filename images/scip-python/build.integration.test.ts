import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { long } from '../../test/long.ts';
import { unpackImage } from '../../test/run-image.ts';
import { build } from './build.ts';

it.runIf(long)(
  'the image of the Python indexer has Python and pip, and indexes a project without anything else',
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'fumehood-recipe-'));
    try {
      const { archive } = await build({ directory: join(root, 'images'), onProgress: () => {} });
      const project = join(root, 'project');
      mkdirSync(project);
      writeFileSync(join(project, 'one.py'), 'import json\n\ndef the_answer():\n    return json.dumps(42)\n');
      const names = ['--project-name', 'project', '--project-version', '1.0'];
      const run = await unpackImage(archive, join(root, 'tree'));
      run(project, ['index', '.', ...names]);
      const index = readFileSync(join(project, 'index.scip'), 'latin1');
      expect(index).toContain('scip-python python project 1.0 one/the_answer().');
      // What Python itself has is found: its version is known, and so are its modules.
      expect(index).toContain('scip-python python python-stdlib 3.11 json/dumps().');
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
  300_000,
);
