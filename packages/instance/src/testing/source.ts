import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A repository of a person's, with a branch `main` of two commits, and a branch `secret` with one more. */
export interface Source {
  readonly directory: string;
  /** The first commit of `main`, its last one, and that of `secret`. */
  readonly first: string;
  readonly commit: string;
  readonly secret: string;
  git(args: readonly string[], input?: string): string;
  /** Adds a commit with this file to the branch, and returns its id. */
  add(path: string, content: string | Buffer): string;
  /** A pack of what `git pack-objects` is told to take. */
  pack(input: string, ...flags: string[]): Buffer;
  /** A commit as clients send it: whole, without its history. */
  alone(commit: string): Buffer;
  remove(): void;
}

/** What only the branch `secret` holds. */
export const secretText = 'of the branch that nobody may read\n';

export function makeSource(): Source {
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-source-'));
  const run = (args: readonly string[], input = ''): Buffer =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      env: { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' },
      input,
      maxBuffer: 2 ** 26,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  const git = (args: readonly string[], input?: string) => run(args, input).toString().trimEnd();
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
  git(['config', 'core.compression', '0']); // there is nothing to be gained
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
