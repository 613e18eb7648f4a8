import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { everyChange, gitIn, makeBatchRepository, statusOf } from '../../testing/batch-repository.ts';
import { applyWorkspaceDiff, gitAttributes, readWorkspaceDiff, type RunTool } from './guest-git.ts';

/** The git of this machine does what the one in a guest would, in directories that stand for the guest's. */
let template: string;
let source: string;
let root: string;
let workspace: string;
let repository: string;

beforeAll(() => {
  template = mkdtempSync(join(tmpdir(), 'guest-git-'));
  ({ directory: source } = makeBatchRepository(template));
  mkdirSync(join(template, 'guest/bin'), { recursive: true });
  symlinkSync('/usr/bin/true', join(template, 'guest/bin/git'));
  execFileSync('git', ['clone', '-q', source, join(template, 'guest/workspace/repository')], {
    stdio: 'pipe',
  });
  const clone = join(template, 'guest/workspace/repository');
  // As in the workspace of a job.
  for (const setting of [
    ['core.checkStat', 'minimal'],
    ['core.trustctime', 'false'],
  ])
    gitIn(clone, ['config', ...setting]);
  execFileSync('sh', ['-ec', 'git ls-files -z | xargs -0 touch -hd @1000000000; git add --all'], {
    cwd: clone,
  });
  cpSync(join(clone, '.git'), join(template, 'guest/git'), { recursive: true });
  writeFileSync(join(template, gitAttributes.path.replace('/git/', 'guest/git/')), gitAttributes.text);
  return () => rmSync(template, { recursive: true, force: true });
});
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'guest-git-'));
  execFileSync('cp', ['-a', `${template}/guest/.`, root]);
  workspace = join(root, 'workspace');
  repository = join(workspace, 'repository');
  return () => rmSync(root, { recursive: true, force: true });
});

const run: RunTool = async (_what, { argv, env, cwd }, { stdin, stdout }) => {
  const onHost = (text: string) =>
    text
      .replace(/^GIT_DIR=\/git$/, `GIT_DIR=${root}/git`)
      .replace('/tools/bin', `${root}/bin`)
      .replace(/(^|=)\/data(?=\/|$)/, `$1${workspace}`);
  const variables = Object.fromEntries(env.map((variable) => onHost(variable).split(/=(.*)/s)));
  const child = spawn(argv[0] === '/tools/git' ? '/usr/bin/git' : String(argv[0]), argv.slice(1), {
    cwd: onHost(cwd),
    env: variables,
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const exited = new Promise<number>((resolve) => {
    child.once('close', (code) => resolve(code ?? -1));
  });
  await Promise.all([
    pipeline(stdin ?? Readable.from([]), child.stdin).catch(() => {}), // a program need not read it
    (async () => {
      for await (const chunk of child.stdout) await stdout?.(chunk as Buffer);
    })(),
  ]);
  const code = await exited;
  const exit = { code, signal: 0, reason: 'exit' as const, message: '' };
  return { exit, stderr: Buffer.concat(said).toString() };
};

const shell = (script: string) => execFileSync('sh', ['-ec', script], { cwd: repository, stdio: 'pipe' });
async function diffOf(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await readWorkspaceDiff(run, 'repository', async (chunk) => void chunks.push(chunk));
  return Buffer.concat(chunks);
}
const status = async () => statusOf(source, await diffOf());

describe('the diff of a workspace', () => {
  test('is empty when nothing was changed, although the directory of the submodule is empty', async () => {
    expect((await diffOf()).toString()).toBe('');
  });

  test('has every kind of change, and no file that the repository ignores', async () => {
    shell(everyChange.commands);
    expect(await status()).toEqual(everyChange.status);
    expect((await diffOf()).toString()).toMatch(/^diff --git added.txt added.txt$/m);
  });

  test('has what all steps have changed so far', async () => {
    shell('echo new > first');
    expect(await status()).toEqual(['A\tfirst']);
    shell('rm first; echo other > second');
    expect(await status()).toEqual(['A\tsecond']);
  });

  test('has a file that a step has rewritten with as many bytes and the time that it had', async () => {
    shell(
      `cp -p modified.txt ../kept; printf 'ONE\\ntwo\\nthree\\n' > modified.txt; touch -r ../kept modified.txt`,
    );
    // A file that takes the place of another one keeps its time, too.
    shell('printf "wex\\n" > x; touch -r ../kept x; mv x web/src/index.js');
    expect(await status()).toEqual(['M\tmodified.txt', 'M\tweb/src/index.js']);
  });

  test('has the bytes of the files, whatever the attributes say of ends of lines and encodings', async () => {
    const pristine = ['--git-dir', join(root, 'git'), '--work-tree', '.'];
    shell(`printf 'a\\r\\nb\\r\\n' > ends.bat; echo '$Id: x $' > id.txt; printf abc > wide.txt`);
    gitIn(repository, [...pristine, 'add', '--all']);
    shell(`printf '*.bat text\\nid.txt ident\\nwide.txt working-tree-encoding=UTF-16\\n' > .gitattributes`);
    gitIn(repository, [...pristine, 'add', '.gitattributes']);
    gitIn(repository, [...pristine, 'commit', '-qm', 'second']);
    shell('touch *');
    expect((await diffOf()).toString()).toBe('');
    shell(`printf 'c\\r\\n' >> ends.bat; printf d >> wide.txt`);
    expect((await diffOf()).toString()).toMatch(/^\+c\r$/m);
    expect((await diffOf()).toString()).toMatch(/^\+abcd$/m);
  });

  test.each([
    ['an edited index and a commit', 'git add -A; git -c user.name=x -c user.email=x@x commit -qm own'],
    ['no .git', 'rm -rf .git'],
    ['a file as .git', 'rm -rf .git; echo "gitdir: /etc" > .git'],
    [
      'another branch, ignored files and sparse rules',
      'git checkout -q -b other; echo new.txt > .git/info/exclude; git config core.sparseCheckout true; echo /other/ > .git/info/sparse-checkout',
    ],
  ])('does not follow %s in the .git of the workspace', async (_, script) => {
    shell(`echo new > new.txt; ${script}`);
    expect(await status()).toEqual(['A\tnew.txt']);
  });

  test('runs no program of the workspace: no hook, no filter, no monitor, no tool for diffs', async () => {
    const trap = join(root, 'trap');
    writeFileSync(join(workspace, 'evil'), `#!/bin/sh\necho "$0" >> ${trap}\ncat\n`, { mode: 0o755 });
    const evil = join(workspace, 'evil');
    shell(`
      mkdir -p .git/hooks
      for hook in pre-commit post-index-change post-checkout; do cp ${evil} .git/hooks/$hook; done
      git config core.fsmonitor ${evil}; git config core.hooksPath .git/hooks
      git config filter.evil.clean ${evil}; git config filter.evil.process ${evil}; git config filter.evil.required true
      git config diff.external ${evil}; git config diff.evil.textconv ${evil}
      printf '* filter=evil diff=evil merge=evil\\n' > .gitattributes
      echo five >> modified.txt
    `);
    rmSync(trap, { force: true });
    expect(await status()).toEqual(['A\t.gitattributes', 'M\tmodified.txt']);
    expect(existsSync(trap)).toBe(false);
  });

  test('leaves out a submodule that a step has filled with its commit, and runs no program that the configuration of that one names', async () => {
    const trap = join(root, 'trap');
    writeFileSync(join(workspace, 'evil'), `#!/bin/sh\necho ran >> ${trap}\n`, { mode: 0o755 });
    const library = join(repository, 'vendor/library');
    gitIn(library, ['init', '-q', '.']);
    gitIn(library, ['commit', '-q', '--allow-empty', '-m', 'x']);
    const own = gitIn(library, ['rev-parse', 'HEAD']);
    const pristine = ['--git-dir', join(root, 'git'), '--work-tree', '.'];
    gitIn(repository, [...pristine, 'update-index', '--cacheinfo', `160000,${own},vendor/library`]);
    gitIn(repository, [...pristine, 'commit', '-qm', 'second']);
    shell(`echo x > vendor/library/file; git -C vendor/library config core.fsmonitor ${workspace}/evil`);
    expect((await diffOf()).toString()).toBe('');
    expect(existsSync(trap)).toBe(false);
    // The trap works: git itself would run it.
    gitIn(repository, [...pristine, 'add', '--all']);
    expect(existsSync(trap)).toBe(true);
  });

  test('has a submodule whose directory a step removes, and not what a step puts into its directory', async () => {
    shell('echo x > vendor/library/file');
    expect((await diffOf()).toString()).toBe('');
    shell('rm -r vendor');
    expect(await status()).toEqual(['D\tvendor/library']);
  });

  test('is refused for a repository without a commit among the files', async () => {
    shell('git init -q nested');
    await expect(diffOf()).rejects.toMatchObject({
      code: 'diff_failed',
      message: expect.stringContaining('nested') as string,
    });
  });

  test('has nothing of the parts that are not checked out, and what a step makes there', async () => {
    const settings = ['core.sparseCheckout', 'core.sparseCheckoutCone'];
    gitIn(repository, ['config', settings[0] as string, 'true']);
    gitIn(repository, ['config', settings[1] as string, 'false']);
    writeFileSync(join(repository, '.git/info/sparse-checkout'), '/web/*\n');
    gitIn(repository, ['read-tree', '-mu', 'HEAD']);
    rmSync(join(root, 'git'), { recursive: true });
    cpSync(join(repository, '.git'), join(root, 'git'), { recursive: true });
    expect(existsSync(join(repository, 'modified.txt'))).toBe(false);
    expect(await status()).toEqual([]);
    shell('echo more >> web/src/index.js; echo outside > new.txt');
    expect(await status()).toEqual(['A\tnew.txt', 'M\tweb/src/index.js']);
  });

  test('has a bounded size', async () => {
    const chunk = Buffer.alloc(2 ** 20);
    const endless: RunTool = async (what, _tool, { stdout }) => {
      if (what === 'git diff') for (let at = 0; at < 100; at++) await stdout?.(chunk);
      return { exit: { code: 0, signal: 0, reason: 'exit', message: '' }, stderr: '' };
    };
    let taken = 0;
    const reading = readWorkspaceDiff(endless, '', async ({ length }) => void (taken += length));
    await expect(reading).rejects.toMatchObject({ code: 'diff_too_big' });
    expect(taken).toBe(64 * 2 ** 20);
  });
});

describe('a diff of an earlier execution', () => {
  test('is what the workspace has then, and what the steps add to', async () => {
    shell(`${everyChange.commands}rm -r vendor`);
    const diff = await diffOf();
    rmSync(root, { recursive: true });
    execFileSync('cp', ['-a', `${template}/guest/.`, root]);
    await applyWorkspaceDiff(run, 'repository', Readable.from([diff]));
    expect(readFileSync(join(repository, 'modified.txt'), 'utf8')).toContain('four');
    expect(existsSync(join(repository, 'renamed-from.txt'))).toBe(false);
    expect(await diffOf()).toEqual(diff);
    shell('echo more > second.txt');
    expect(await status()).toEqual([...everyChange.status, 'A\tsecond.txt', 'D\tvendor/library'].sort());
  });

  test('that does not fit is refused, and so is one that leads out of the repository', async () => {
    for (const path of ['missing.txt', '../outside', '.git/config']) {
      const diff = `diff --git ${path} ${path}\n--- ${path}\n+++ ${path}\n@@ -1 +1 @@\n-a\n+b\n`;
      const applying = applyWorkspaceDiff(run, 'repository', Readable.from([Buffer.from(diff)]));
      await expect(applying, path).rejects.toMatchObject({ code: 'diff_failed' });
    }
  });
});
