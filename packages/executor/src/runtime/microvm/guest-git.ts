import type { Readable } from 'node:stream';
import type { StepExit } from '@fumehood/microvm';
import { stepDiffBytesMax } from '@fumehood/protocol';
import { toolPaths } from '../../disk-maker/tools-tar.ts';
import { diffFailed, diffTooBig } from '../../errors.ts';
import { guestPaths } from './prepare-guest.ts';
import { workspaceTarget } from './step-command.ts';

/** A program of the tools, as it is run in a guest. */
export interface GuestTool {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly binds: readonly { readonly source: string; readonly target: string; readonly mode: 'ro' | 'rw' }[];
}

/** Runs a program of the tools in the guest of a job, one at a time. */
export type RunTool = (
  what: string,
  tool: GuestTool,
  streams: { readonly stdin?: Readable; readonly stdout?: (chunk: Buffer) => void | Promise<void> },
) => Promise<{ readonly exit: StepExit; readonly stderr: string }>;

/** Where git finds the repository's own data. */
const gitTarget = '/git';
/** The variables of every tool. */
const toolEnvironment = [`LD_LIBRARY_PATH=${toolPaths.libraries}`, 'PATH=/none', 'HOME=/none', 'LC_ALL=C'];
/**
 * Git takes a file for unchanged if all of its stat data are those of the index, not its size and time alone: a step can set these back. The
 * index of the disk knows neither inodes nor times of change, so the first diff of a job reads all files (1.7 s for 1,000 files of 10 MB in an
 * emulated VM, which is why not every diff does), and each later one those that were written since.
 */
const wholeStat = [
  'GIT_CONFIG_COUNT=2',
  ...['GIT_CONFIG_KEY_0=core.checkStat', 'GIT_CONFIG_VALUE_0=default'],
  ...['GIT_CONFIG_KEY_1=core.trustctime', 'GIT_CONFIG_VALUE_1=true'],
];

/**
 * What the repository's `.gitattributes` say of the bytes of files has no effect: the files of the workspace are those of the commit byte by
 * byte, and a git that converted them would take files for changed that no step has touched.
 */
export const gitAttributes = {
  path: `${guestPaths.git}/info/attributes`,
  text: '* !text !crlf !eol !ident !filter !working-tree-encoding\n',
} as const;

/**
 * Returns a git that works on the repository in the workspace. Its `.git` is that of the commit: what the steps do with theirs, such as
 * its configuration, its hooks and its index, has no effect. Git would run another git in a submodule that a step has filled, by that one's
 * configuration, which can name programs: it finds one that does nothing, and takes the submodule for clean. `directory`: of the
 * repository, from the top of the workspace.
 */
function gitOf(directory: string, args: readonly string[]): GuestTool {
  const repository = directory === '' ? workspaceTarget : `${workspaceTarget}/${directory}`;
  return {
    argv: [toolPaths.git, ...args],
    env: [
      ...toolEnvironment,
      `GIT_EXEC_PATH=${toolPaths.programs}`,
      `GIT_DIR=${gitTarget}`,
      `GIT_WORK_TREE=${repository}`,
      'GIT_CONFIG_NOSYSTEM=1',
      'GIT_CONFIG_GLOBAL=/dev/null',
      'GIT_TERMINAL_PROMPT=0',
    ],
    cwd: repository,
    binds: [
      { source: guestPaths.git, target: gitTarget, mode: 'rw' },
      { source: guestPaths.workspace, target: workspaceTarget, mode: 'rw' },
    ],
  };
}

/**
 * Passes everything that the steps have changed in the repository to `sink`, as a diff against the commit. Files that the repository
 * ignores do not count, and neither do the parts that are not checked out. Errors: `diff_failed`, `diff_too_big`, those of `sink`.
 */
export async function readWorkspaceDiff(
  run: RunTool,
  directory: string,
  sink: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  const add = gitOf(directory, ['add', '--all', '--sparse']);
  await expectSuccess(run, 'git add', { ...add, env: [...add.env, ...wholeStat] }, {});
  let bytes = 0;
  const bounded = async (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > stepDiffBytesMax) throw diffTooBig(stepDiffBytesMax);
    await sink(chunk);
  };
  const options = ['--no-ext-diff', '--no-textconv', '--no-color'];
  const diff = gitOf(directory, ['diff', '--cached', '--no-prefix', '--binary', ...options, 'HEAD']);
  await expectSuccess(run, 'git diff', diff, { stdout: bounded });
}

/** Applies a diff, as `readWorkspaceDiff` gives it, to the repository of the commit. Errors: `diff_failed`. */
export async function applyWorkspaceDiff(run: RunTool, directory: string, diff: Readable): Promise<void> {
  const args = ['apply', '--index', '-p0', '--whitespace=nowarn', '-'];
  await expectSuccess(run, 'git apply', gitOf(directory, args), { stdin: diff });
}

/** Writes bytes into a file of the guest's files, whose mode stays. Errors: `diff_failed`. */
export async function writeGuestFile(run: RunTool, name: string, content: Readable): Promise<void> {
  const tool: GuestTool = {
    argv: [toolPaths.dd, `of=/files/${name}`, 'bs=64K', 'status=none'],
    env: toolEnvironment,
    cwd: '/',
    binds: [{ source: guestPaths.stepFiles, target: '/files', mode: 'rw' }],
  };
  await expectSuccess(run, 'dd', tool, { stdin: content });
}

async function expectSuccess(
  run: RunTool,
  what: string,
  tool: GuestTool,
  streams: Parameters<RunTool>[2],
): Promise<void> {
  const { exit, stderr } = await run(what, tool, streams);
  if (exit.reason === 'exit' && exit.code === 0) return;
  throw diffFailed(what, exit.message || stderr.trim().slice(-1_000) || `it ended with ${exit.code}`);
}
