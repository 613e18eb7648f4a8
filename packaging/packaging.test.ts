import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bundledPackages } from './bundled.ts';
import { dependencies } from './deb.ts';
import { sbomOf } from './sbom.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-packaging-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (path: string, text: string) => {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
};

it('the command says in one line that no Node is new enough, and still knows its version', () => {
  write('package.json', JSON.stringify({ type: 'module', version: '9.8.7', fumehood: { node: '999.0' } }));
  mkdirSync(join(root, 'bin'));
  copyFileSync(join(import.meta.dirname, 'fumehood.mjs'), join(root, 'bin/fumehood.mjs'));
  const command = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'bin/fumehood.mjs'), ...args], { encoding: 'utf8' });
  const refused = command('run');
  expect(refused.status).toBe(2);
  expect(refused.stderr).toMatch(/^fumehood: Node [\d.]+ is too old: install Node 999\.0 or newer, .*\n$/);
  expect(command('--version').stdout).toBe('9.8.7\n');
});

it('the bundled packages are those that the bundles have code of, each with its licence', () => {
  write('node_modules/@a/b/package.json', JSON.stringify({ name: '@a/b', version: '1.0.0', license: 'MIT' }));
  write('node_modules/@a/b/LICENSE.md', 'do what you like\n');
  write('node_modules/c/package.json', JSON.stringify({ name: 'c', version: '2.0.0' }));
  const metafileOf = (input: string) => ({
    inputs: {},
    outputs: { 'x.mjs': { bytes: 1, imports: [], exports: [], inputs: { [input]: { bytesInOutput: 1 } } } },
  });
  expect(
    bundledPackages([metafileOf('packages/x/y.ts'), metafileOf('node_modules/@a/b/z.js')], root),
  ).toEqual([{ name: '@a/b', version: '1.0.0', license: 'MIT', text: 'do what you like' }]);
  expect(() => bundledPackages([metafileOf('node_modules/c/z.js')], root)).toThrow('c names no licence');
});

it('the bill of materials names each package with its version and licence', () => {
  const make = () =>
    sbomOf('1.2.3', [{ name: '@a/b', version: '1.0.0', license: 'MIT' }], { node: '26.0.0' });
  expect(make()).toBe(make());
  const bom = JSON.parse(make());
  expect(bom).toMatchObject({
    bomFormat: 'CycloneDX',
    metadata: { component: { name: 'fumehood', version: '1.2.3' } },
    components: [
      { name: '@a/b', version: '1.0.0', purl: 'pkg:npm/%40a/b@1.0.0', licenses: [{ expression: 'MIT' }] },
      { name: 'node', version: '26.0.0' },
    ],
  });
});

it('the Debian package needs the programs of jobs, and no compiler', () => {
  expect(dependencies).toEqual(
    expect.arrayContaining(['qemu-system-x86', 'bubblewrap', 'binutils', 'passwd']),
  );
  expect(dependencies).not.toContain('gcc');
});
