import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { FileCacheUse } from '@fumehood/base';
import { commandFault, type DockerStep, type NextStep, storableText } from '@fumehood/protocol';
import { instanceRefused, stepRefused } from '../../errors.ts';
import { fetchBlob } from '../../uplink/fetch-blob.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import {
  applyWorkspaceDiff,
  gitAttributes,
  type RunTool,
  readWorkspaceDiff,
  writeGuestFile,
} from './guest-git.ts';
import { writeLine } from './phase.ts';
import { guestPaths } from './prepare-guest.ts';
import { stepDirectory, stepName, workspaceTarget } from './step-command.ts';
import { stepText } from './step-text.ts';
import {
  checkExit,
  defaultStopSignal,
  endLog,
  environmentOf,
  type GuestCommand,
  imageConfig,
  rootView,
  runCommand,
  type StepDeps,
} from './steps.ts';

type Step = NonNullable<NextStep['next']>;

/** What running the steps of a batch job needs, besides what running any step does. */
export interface BatchDeps extends StepDeps {
  readonly client: JobClient;
  readonly cache: FileCacheUse;
  /** The directory of cached blobs. */
  readonly blobs: string;
  /** A directory of this job, for the diffs. */
  readonly work: string;
}

/** Bytes of a script, and of a file that an answer brings, that travel to the guest as one message. */
const messageMax = 2 * 2 ** 20;
const shells = ['/bin/bash', '/bin/sh'] as const;
const scriptTarget = '/fumehood/step.sh';
const rootUser = '0:0';

/**
 * Runs the steps of a batch job: asks the instance for each, runs it, takes everything that the steps have changed so far out of the
 * guest, and reports both. Calls `onExit` with the exit code of each step. Errors: those of `runSteps`, `diff_failed`, `diff_too_big`,
 * `step_refused`, `instance_…`.
 */
export async function runBatchSteps(deps: BatchDeps, onExit: (exitCode: number) => void): Promise<void> {
  const { client, job, lease, clock, work } = deps;
  const deadline = clock.bootTime() + job.fumehood.deadlineMs;
  const run = toolRunner(deps, deadline);
  await mkdir(work);
  deps.guest.file(gitAttributes.path, gitAttributes.text);
  let answer = await client.nextStep(null, lease.stopped);
  if (answer.restore) {
    const file = await fetch(deps, answer.restore.digest);
    if ((await stat(file)).size > 0)
      await applyWorkspaceDiff(run, job.repositoryDirectory, createReadStream(file));
  }
  for (let last = -1; answer.next !== null; ) {
    const { next } = answer;
    if (next.step <= last || next.step >= job.dockerSteps.length)
      throw instanceRefused(
        'give the next step',
        200,
        `it names step ${next.step} of ${job.dockerSteps.length} after step ${last}`,
      );
    last = next.step;
    const output = await runBatchStep(deps, run, next, deadline, onExit);
    const diff = await sendDiff(deps, run, next.step);
    answer = await client.nextStep({ step: next.step, ...output, diff }, lease.stopped);
  }
}

/** Runs one step, and resolves with the beginning of its stdout and of its stderr. */
async function runBatchStep(
  deps: BatchDeps,
  run: RunTool,
  next: Step,
  deadline: number,
  onExit: (exitCode: number) => void,
): Promise<{ stdout: string; stderr: string }> {
  const { client, guest, job } = deps;
  const { step: index } = next;
  const step = { ...(job.dockerSteps[index] as DockerStep), env: next.env };
  const name = stepName(step, index);
  client.hide(secretsIn(next));
  if (Buffer.byteLength(next.script) > messageMax)
    throw stepRefused(name, `its script has more than ${messageMax} bytes`);
  guest.file(`${guestPaths.stepFiles}/script`, next.script);
  const files = await writeFiles(deps, run, name, next);
  const image = imageConfig(deps, index);
  const view = { ...rootView(deps, index), env: environmentOf(deps, step, image), user: rootUser };
  const shell = await findShell(deps, view, name, deadline);
  const argv = [shell, scriptTarget];
  const fault = commandFault(argv, view.env);
  if (fault !== null) throw stepRefused(name, fault);
  const log = deps.openLog(`step.docker.${name}`, argv);
  const texts = { stdout: stepText(), stderr: stepText() };
  const sink = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    texts[stream].add(chunk);
    return log.write(stream, chunk);
  };
  const binds = [
    ...view.binds,
    { source: `${guestPaths.stepFiles}/script`, target: scriptTarget, mode: 'ro' as const },
    ...files,
  ];
  const command = { ...view, argv, binds, cwd: stepDirectory(step, image, true) };
  const streams = { stdin: null, stdout: sink('stdout'), stderr: sink('stderr') };
  const exit = await runCommand(deps, name, command, streams, deadline).catch(endLog(log));
  for (const [stream, text] of Object.entries(texts))
    if (text.isCut())
      await writeLine(log, `later steps see the first 1 MiB of this ${stream} alone`, 'stderr');
  await checkExit(
    deps,
    name,
    exit,
    log,
    onExit,
    () => texts.stderr.end().trim() || texts.stdout.end().trim(),
  );
  return { stdout: storableText(texts.stdout.text()), stderr: storableText(texts.stderr.text()) };
}

/** Returns bash if the image of a step has it, as the command line of upstream prefers it, and sh otherwise. */
async function findShell(
  deps: BatchDeps,
  view: Omit<GuestCommand, 'argv' | 'cwd'>,
  name: string,
  deadline: number,
): Promise<string> {
  const probe = { ...view, id: 'shell', argv: [shells[0], '-c', ':'], cwd: '/' };
  const ignore = () => {};
  const exit = await runCommand(deps, name, probe, { stdin: null, stdout: ignore, stderr: ignore }, deadline);
  return exit.reason === 'start' ? shells[1] : shells[0];
}

/** Puts the files of a step into the guest, and returns how the step sees them. Errors: `step_refused`, those of blobs. */
async function writeFiles(deps: BatchDeps, run: RunTool, name: string, { files }: Step) {
  const binds: { source: string; target: string; mode: 'ro' }[] = [];
  for (const [at, file] of files.entries()) {
    const parts = file.target.split('/').filter((part) => part !== '' && part !== '.');
    const target = `/${parts.join('/')}`;
    if (parts.includes('..') || parts.length === 0 || `${target}/`.startsWith(`${workspaceTarget}/`))
      throw stepRefused(name, `it wants a file at ${JSON.stringify(file.target.slice(0, 200))}`);
    const source = String(at);
    const bytes = 'content' in file ? Buffer.from(file.content, 'base64') : null;
    const isShort = bytes !== null && bytes.length <= messageMax;
    // Upstream makes the files of a step executable.
    deps.guest.file(`${guestPaths.stepFiles}/${source}`, isShort ? bytes : '', 0o755);
    if (!isShort) {
      const content =
        'digest' in file ? createReadStream(await fetch(deps, file.digest)) : Readable.from([bytes]);
      await writeGuestFile(run, source, content);
    }
    binds.push({ source: `${guestPaths.stepFiles}/${source}`, target, mode: 'ro' });
  }
  return binds;
}

const fetch = ({ client, blobs, cache, clock, lease }: BatchDeps, digest: string) =>
  fetchBlob(client, digest, blobs, cache, clock, lease.stopped);

/** Takes the diff of the repository out of the guest and sends it. Resolves with its digest. */
async function sendDiff(deps: BatchDeps, run: RunTool, step: number): Promise<string> {
  const file = join(deps.work, `${step}.diff`);
  const output = createWriteStream(file, { flags: 'wx', mode: 0o600 });
  try {
    await readWorkspaceDiff(run, deps.job.repositoryDirectory, async (chunk) => {
      await new Promise<void>((resolve, reject) => {
        output.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    });
  } finally {
    output.end();
    await finished(output).catch(() => {}); // the write has said so
  }
  const { size } = await stat(file);
  const digest = await deps.client.stepDiff(step, () => createReadStream(file), size, deps.lease.stopped);
  await rm(file);
  return digest;
}

/** Returns what runs the tools in the guest, within the deadline of the job. */
function toolRunner(deps: BatchDeps, deadline: number): RunTool {
  let count = 0;
  return async (what, tool, { stdin = null, stdout = () => {} }) => {
    count += 1;
    const stderr = stepText();
    const command = {
      ...tool,
      ...{ id: `tool-${count}`, root: guestPaths.tools, user: rootUser, hostname: deps.hostname },
      ...{ volumes: [], stopSignal: defaultStopSignal },
    };
    const exit = await runCommand(deps, what, command, { stdin, stdout, stderr: stderr.add }, deadline);
    return { exit, stderr: stderr.text() };
  };
}

/** Returns the values of a step's secrets, with what the log has in place of each. */
function secretsIn({ env, secrets }: Step): Record<string, string> {
  const names = new Set(secrets);
  return Object.fromEntries(
    env.flatMap((variable) => {
      const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(variable) ?? [];
      return names.has(name) && value !== '' ? [[value, `[secret ${name}]`]] : [];
    }),
  );
}
