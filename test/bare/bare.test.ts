import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { long } from '../long.ts';
import { makeBareRoot, runInBareRoot } from './root.ts';

describe('in a bare Debian 12 with its own Node 18 and npm 9', () => {
  let directory: string;
  let root: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'bare-'));
    root = join(directory, 'root');
    makeBareRoot(root);
  }, 300_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }), 60_000);

  const run = (command: string) => runInBareRoot(root, ['sh', '-c', command], join(directory, 'log'));

  it('has Node 18, npm 9 and none of the programs that Fumehood needs', async () => {
    const { output } = await run('node --version; npm --version; ls /usr/bin/git /usr/bin/bwrap');
    expect(output).toMatch(/^v18\.\d+\.\d+\n9\.\d+\.\d+\n/);
    expect(output.match(/No such file/g)).toHaveLength(2);
  });

  it('`npm run demo` installs what is missing, indexes this repository in a VM and leaves nothing behind', {
    timeout: 400_000,
  }, async () => {
    const { code, output } = await run('npm run demo && npx fumehood down');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^isolation +vm-/m);
    expect(output).toMatch(/^index +\d+ documents/m);
    expect(output).toMatch(
      /^left over +processes 0, mounts 0, namespaces 0, loop devices 0, cgroups 0, files 0$/m,
    );
  });

  it('`npm run check` passes', { timeout: 300_000 }, async () => {
    const { code, output } = await run('npm run check');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^\d{3,} passed, 0 failed$/m);
  });

  it.runIf(long)('`npm test` passes', { timeout: 1_800_000 }, async () => {
    const { code, output } = await run('npm test');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^\d{4,} passed, 0 failed/m);
  });
});
