import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A user's repository: a branch `main` with two commits, and a branch `secret` with one more. */
export interface Source {
  readonly directory: string;
  /** The first commit of `main`, the last commit of `main`, and the commit of `secret`. */
  readonly first: string;
  readonly commit: string;
  readonly secret: string;
  git(args: readonly string[], input?: string | Buffer): string;
  /** Adds a commit with this file to the current branch, and returns its id. */
  add(path: string, content: string | Buffer): string;
  /** Returns a pack of the objects that `input` and `flags` select in `git pack-objects`. */
  pack(input: string, ...flags: string[]): Buffer;
  /** Returns a pack of one commit as clients send it: all of its tree, without its history. */
  alone(commit: string): Buffer;
  remove(): void;
}

/** A text that only the branch `secret` contains. */
export const secretText = 'of the branch that nobody may read\n';

/** Creates the repository in a temporary directory. */
export function makeSource(): Source {
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-source-'));
  const run = (args: readonly string[], input: string | Buffer = ''): Buffer =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      env: { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' },
      input,
      maxBuffer: 2 ** 26,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  const git = (args: readonly string[], input?: string | Buffer) => run(args, input).toString().trimEnd();
  const pack = (input: string, ...flags: string[]) =>
    run(['pack-objects', '--stdout', '--quiet', ...flags], input);
  const add = (path: string, content: string | Buffer) => {
    mkdirSync(join(directory, path, '..'), { recursive: true });
    writeFileSync(join(directory, path), content);
    git(['add', '-A']);
    git(['commit', '-qm', path]);
    return git(['rev-parse', 'HEAD']);
  };
  git(['init', '-q', '-b', 'main']);
  git(['config', 'core.compression', '0']); // compression would only take time
  const first = add('src/old.ts', 'of the first commit\n');
  git(['checkout', '-q', '-b', 'secret']);
  const secret = add('deep/secret', secretText);
  git(['checkout', '-q', 'main']);
  return {
    directory,
    first,
    commit: add('src/old.ts', 'of the second commit\n'),
    secret,
    git,
    add,
    pack,
    alone: (one) => pack(`--shallow ${one}\n${one}\n`, '--revs'),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
