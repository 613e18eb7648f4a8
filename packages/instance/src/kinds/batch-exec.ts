import { posix } from 'node:path';
import type { Changes } from '@fumehood/batch-spec';
import type { PayloadVersion } from '@fumehood/protocol';
import type { JobContent } from '../queue/kind.ts';

/** The files in the workspace of an executor of upstream's kind. */
const inputFile = 'input.json';
const diffFile = 'state.diff';
const mountDirectory = 'workspace-files';
/** The directory of the repository in the workspace of a job, as upstream's jobs have it. */
export const repositoryDirectory = 'repository';

/** What the steps up to one of them have left, which need not run again. */
export interface ExecCached {
  readonly step: number;
  readonly changes: Changes;
  readonly stdout: string;
  readonly stderr: string;
  readonly diff: Buffer;
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** What an executor of upstream's kind gets, where it runs the steps of a workspace. */
export interface BatchExec {
  /** The attributes of the batch change, the repository, the branch with its commit, the steps, and what is known before. */
  readonly input: object;
  /** What the steps mount, which the files route has under `key`: `<batch spec>/<file>`. */
  readonly files: readonly { readonly path: string; readonly key: string; readonly modifiedAt: string }[];
  /** The steps that are known to be skipped, from 0. */
  readonly skippedSteps: readonly number[];
  /** Null: the first step runs, too. */
  readonly cached: ExecCached | null;
  /** The image of upstream's helper; null: it has to run `src`. */
  readonly helperImage: string | null;
}

type ExecContent = Pick<JobContent, 'files' | 'dockerSteps' | 'cliSteps'>;

/**
 * Returns the part of a job that an executor of upstream's kind gets in place of the steps: containers of its own for each step, with those of
 * the helper around it, or one command of `src` that runs containers. An executor of the first payload gets that, and runs all steps.
 * `images`: those of the steps. `dir`: where the steps run.
 */
export function batchExecContent(
  exec: BatchExec,
  { version, images, dir }: { version: PayloadVersion; images: readonly string[]; dir: string },
): ExecContent {
  const { helperImage } = exec;
  const mounts = exec.files.map(({ path, key, modifiedAt }) => [
    `${mountDirectory}/${path}`,
    { content: null, bucket: 'batch-changes', key, modifiedAt },
  ]);
  const mounted = Object.fromEntries(mounts) as JobContent['files'];
  if (version === 1)
    return { files: { ...filesOf({ [inputFile]: inputOf(exec, null) }), ...mounted }, ...bySrc(exec, []) };
  // The second payload and diffs of binary files came with the same release.
  if (helperImage === null)
    return {
      files: { ...filesOf({ [inputFile]: inputOf(exec, exec.cached) }), ...mounted },
      ...bySrc(exec, ['-binaryDiffs']),
    };
  const { cached } = exec;
  const left = cached && {
    [`step${cached.step}.json`]: JSON.stringify(resultOf(cached)),
    [diffFile]: cached.diff,
  };
  return {
    files: { ...filesOf({ [inputFile]: inputOf(exec, null), ...left }), ...mounted },
    ...byHelper(exec, { helperImage, images, dir }),
  };
}

function filesOf(texts: Readonly<Record<string, string | Buffer>>): JobContent['files'] {
  const noTime = '0001-01-01T00:00:00Z';
  return Object.fromEntries(
    Object.entries(texts).map(([path, text]) => [
      path,
      { content: Buffer.from(text as string), bucket: '', key: '', modifiedAt: noTime },
    ]),
  );
}

function inputOf({ input }: BatchExec, cached: ExecCached | null): string {
  const known = cached
    ? { cachedStepResultFound: true, cachedStepResult: resultOf(cached) }
    : { cachedStepResultFound: false };
  return JSON.stringify({ ...input, ...known });
}

/** Returns what steps have left as upstream writes it down. */
function resultOf({ step, changes, stdout, stderr, diff, outputs }: ExecCached): object {
  return {
    ...{ version: 2, changedFiles: changes, stdout, stderr, stepIndex: step },
    ...{ diff: diff.toString('base64'), outputs, skipped: false },
  };
}

function bySrc({ files }: BatchExec, options: readonly string[]): Omit<ExecContent, 'files'> {
  const command = ['batch', 'exec', '-f', inputFile, '-repo', repositoryDirectory, '-tmp', '.src-tmp'];
  const mounts = files.length > 0 ? ['-workspaceFiles', mountDirectory] : [];
  return {
    dockerSteps: [],
    cliSteps: [{ key: 'batch-exec', command: [...command, ...options, ...mounts], dir: '.', env: [] }],
  };
}

/**
 * Returns a step of the helper, one of the spec and one of the helper again for each step that may run. The helper says before a step whether
 * it runs, and writes its script then; no script: neither of the other two does anything, also on executors that do not look for that.
 */
function byHelper(
  { files, skippedSteps, cached }: BatchExec,
  { helperImage: image, images, dir }: { helperImage: string; images: readonly string[]; dir: string },
): Omit<ExecContent, 'files'> {
  const ofHelper = (key: string, command: string, where = '.') => ({
    ...{ key, image, commands: [command], dir: where, env: [] },
  });
  const hasDiff = cached !== null && cached.diff.length > 0;
  const applied = ofHelper(
    'apply-diff',
    `git apply -p0 ../${diffFile} && git add --all`,
    repositoryDirectory,
  );
  // Its own default is the path in Kubernetes. Behind a step it removes what it is told, so that it is told of a copy.
  const mounts = (directory: string) => (files.length > 0 ? ` -workspaceFiles "$PWD/${directory}"` : '');
  const copy = files.length > 0 ? `cp -a ${mountDirectory} post-files && ` : '';
  const steps = images.flatMap((of, step) => {
    if (step <= (cached?.step ?? -1) || skippedSteps.includes(step)) return [];
    const post = `${copy}batcheshelper post ${step}${mounts('post-files')}`;
    return [
      ofHelper(`step.${step}.pre`, `batcheshelper pre ${step}${mounts(mountDirectory)}`),
      { key: `step.${step}.run`, image: of, commands: [runOf(step, posix.relative(dir, '.'))], dir, env: [] },
      ofHelper(`step.${step}.post`, `if [ -f step${step}.sh ]; then ${post}; fi`),
    ];
  });
  return { dockerSteps: [...(hasDiff ? [applied] : []), ...steps], cliSteps: null };
}

/**
 * Returns the line that runs the script of a step, for any `/bin/sh`: it copies what the step prints into the two files that the helper reads, and
 * ends as the script has ended. `up`: the root of the workspace.
 */
function runOf(step: number, up: string): string {
  const script = `${up}/step${step}.sh`;
  const status = `${up}/exit${step}`;
  const run = `"$(command -v bash || command -v sh)" ${script}; echo $? >${status}`;
  const copied = `{ { ${run}; } 2>&3 | tee ${up}/stdout${step}.log >&4; } 3>&1 | tee ${up}/stderr${step}.log >&2`;
  return `if [ -f ${script} ]; then { ${copied}; } 4>&1; (exit "$(cat ${status})"); fi`;
}
