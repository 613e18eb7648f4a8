import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeClientPackage } from './client.ts';
import { repository, version } from './tree.ts';

let root: string;
let installed: string;
/** The npm and the Node of this machine, which users have; tests run in a newer one. */
const run = (program: string, args: readonly string[]) =>
  execFileSync(program, args, { cwd: installed, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-client-'));
  installed = join(root, 'installed');
  mkdirSync(installed);
  const bundled = await writeClientPackage(join(root, 'package'));
  expect(bundled.map(({ name }) => name)).toEqual(['zod']);
  run('npm', ['pack', '--silent', '--pack-destination', root, join(root, 'package')]);
  writeFileSync(join(installed, 'package.json'), '{"private":true,"type":"module"}');
  run('npm', ['install', '--offline', '--no-audit', join(root, `fumehood-client-${version}.tgz`)]);
}, 60_000);
afterAll(() => rmSync(root, { recursive: true }));

it('the package of the library installs without anything else, and is imported', () => {
  expect(existsSync(join(installed, 'node_modules/zod'))).toBe(false);
  const script = `import { FumehoodError, run } from '@fumehood/client';
    const refused = await run({ image: 'a' }).catch((error) => error);
    const away = await run({ image: 'a', url: 'http://127.0.0.1:1', token: 't' }).catch((error) => error);
    console.log(refused instanceof FumehoodError, refused.code, away.code);`;
  writeFileSync(join(installed, 'main.js'), script);
  for (const node of [process.execPath, '/usr/bin/node'].filter((path) => existsSync(path)))
    expect(run(node, ['main.js'])).toBe('true instance_not_named instance_unreachable\n');
});

it('its types need no other package, and check what a program does with it', () => {
  const check = (text: string) => {
    writeFileSync(join(installed, 'main.mts'), text);
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', ''];
    try {
      run(join(repository, 'node_modules/.bin/tsc'), [...options, 'main.mts']);
      return '';
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  };
  const program = (option: string) => `import { FumehoodError, run, type RunResult } from '@fumehood/client';
    try {
      const result: RunResult = await run({ image: 'debian:12', ${option} });
      const code: number = result.exitCode;
      const tier: 'vm-hardware' | 'vm-pvm' | 'vm-emulated' | 'container' | null = result.job.tier;
    } catch (error) {
      if (error instanceof FumehoodError) error.code satisfies string;
    }`;
  expect(check(program("signal: AbortSignal.timeout(9), accept: ['vm-emulated']"))).toBe('');
  expect(check(program("accept: ['vm-weak']"))).toContain('vm-weak');
});

it('has what Node 18 does not know in none of its code', () => {
  const code = readFileSync(join(installed, 'node_modules/@fumehood/client/index.mjs'), 'utf8');
  // Methods that came with Node 20 and later, and that no bundler replaces.
  expect(code).not.toMatch(
    /withResolvers|\.toSorted|\.toReversed|\.toSpliced|AbortSignal\.any|getBuiltinModule/,
  );
  expect(code).not.toMatch(/import\.meta\.(dirname|filename)|fromAsync|Object\.groupBy|Map\.groupBy/);
});
