import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Runs git in a directory, as a user of tests, and returns its stdout without white space at its ends. */
export function gitIn(
  directory: string,
  args: readonly string[],
  input?: Buffer,
  env: Readonly<Record<string, string>> = {},
): string {
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'commit.gpgsign=false'];
  return execFileSync('git', ['-C', directory, ...identity, ...args], {
    stdio: 'pipe',
    env: { ...process.env, ...env },
    ...(input && { input }),
  })
    .toString()
    .trim();
}

const files = `
printf 'one\\ntwo\\nthree\\n' > modified.txt
printf '\\000\\001binary' > binary.bin
echo gone > deleted.txt
seq 100 > renamed-from.txt
echo 'echo tool' > mode.sh
ln -s modified.txt link
echo ignored > .gitignore
mkdir -p web/src other vendor/library
echo web > web/src/index.js
echo other > other/file.txt
`;

/** Makes a repository with one commit, in which there is a file of each kind, and a submodule. Returns its directory and the commit. */
export function makeBatchRepository(root: string): { directory: string; commit: string } {
  const directory = join(root, 'batch-source');
  execFileSync('git', ['init', '-q', '-b', 'main', directory]);
  execFileSync('sh', ['-ec', files], { cwd: directory });
  gitIn(directory, ['add', '--all']);
  const submodule = `160000,${'1'.repeat(40)},vendor/library`;
  gitIn(directory, ['update-index', '--add', '--cacheinfo', submodule]);
  gitIn(directory, ['commit', '-qm', 'first']);
  return { directory, commit: gitIn(directory, ['rev-parse', 'HEAD']) };
}

/** The commands of a step that changes each kind of file, and what git says of the diff. */
export const everyChange = {
  commands: `
echo four >> modified.txt
printf '\\000\\002other' > binary.bin
rm deleted.txt
mv renamed-from.txt renamed-to.txt
chmod 755 mode.sh
ln -sf other/file.txt link
echo new > added.txt
echo new > 'ä name'
echo not > ignored
`,
  status: [
    'A\tadded.txt',
    'A\tä name',
    'D\tdeleted.txt',
    'M\tbinary.bin',
    'M\tlink',
    'M\tmode.sh',
    'M\tmodified.txt',
    'R100\trenamed-from.txt\trenamed-to.txt',
  ],
} as const;

/** Applies a diff to the commit of the repository, in an index of its own, and returns what git says of each file, sorted. */
export function statusOf(directory: string, diff: Buffer): string[] {
  const index = join(directory, '.git', 'index-of-a-diff');
  const git = (args: readonly string[], input?: Buffer) =>
    gitIn(directory, args, input, { GIT_INDEX_FILE: index });
  git(['read-tree', 'HEAD']);
  if (diff.length > 0) git(['apply', '--cached', '-p0', '-'], diff);
  const lines = git(['-c', 'core.quotePath=false', 'diff', '--cached', '--name-status', '-M', 'HEAD']);
  return lines === '' ? [] : lines.split('\n').sort();
}
