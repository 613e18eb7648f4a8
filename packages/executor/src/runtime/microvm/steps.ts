import type { Readable } from 'node:stream';
import type { Clock } from '@fumehood/base';
import { brokerEnvironment } from '@fumehood/egress';
import type { Guest, GuestStep, StepExit, StepStreams } from '@fumehood/microvm';
import type { ImageConfig, ImageDisk } from '@fumehood/oci';
import { commandFault, type DockerStep, scriptFault, type TerminalSize } from '@fumehood/protocol';
import { deadlinePassed, jobRefused, memoryExceeded, stepFailed, stepNotStarted } from '../../errors.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import {
  stepArguments,
  stepDirectory,
  stepEnvironment,
  stepName,
  stepScript,
  workspaceTarget,
} from './step-command.ts';
import { type GuestLimits, withinTime } from './guest-limits.ts';
import { guestPaths } from './prepare-guest.ts';
import { hasWorkspace, type ValidatedJob } from './validate-job.ts';
import { stepMemoryBytes } from './vm-plan.ts';
import type { AgentVm } from './vm-source.ts';

/** SIGTERM: what asks a step to end if its image names no other signal. */
export const defaultStopSignal = 15;
/** Processes and threads that a step may have at a time. */
const pidsMax = 4096;
/** Bytes at the end of a failed step's output that its error quotes. */
const quotedBytes = 1_000;
const scriptDirectory = '/fumehood';

/** What running the steps of a job needs. */
export interface StepDeps {
  readonly guest: Guest;
  readonly vm: Pick<AgentVm, 'kill'>;
  readonly limits: GuestLimits;
  readonly lease: Pick<Lease, 'stopped'>;
  /** Takes what ends the running step when the job has to stop; null while no step runs. */
  setEndStep(endStep: (() => void) | null): void;
  readonly clock: Clock;
  readonly job: ValidatedJob;
  /** The image disk of each step. */
  readonly images: readonly ImageDisk[];
  readonly hostname: string;
  /** Variables that every step gets besides its own. */
  readonly extraEnvironment: Readonly<Record<string, string>>;
  openLog(key: string, command: readonly string[]): PhaseLog;
  /** Opens the job's stdin, which the first step reads. `resize` is called with the sizes of its terminal. */
  openStdin(resize: (size: TerminalSize) => void): Readable;
}

/** A command of a step as the guest sees it, without what limits it. */
export type GuestCommand = Omit<GuestStep, 'memoryBytes' | 'pids' | 'deadlineMs' | 'graceMs'>;

/** What the command of a step follows from. */
type CommandDeps = Pick<StepDeps, 'job' | 'images' | 'hostname' | 'extraEnvironment'>;

/** Returns the scripts of the steps that have `commands`, by file name. Errors: `job_refused` for a script that is too long. */
export function scriptFiles(job: ValidatedJob): Record<string, string> {
  const files: Record<string, string> = {};
  job.dockerSteps.forEach((step, index) => {
    const script = stepScript(step);
    if (script === null) return;
    const fault = scriptFault(step.commands ?? []);
    if (fault !== null)
      throw jobRefused(`step ${stepName(step, index)} cannot be executed: ${fault}`, 'Shorten its commands.');
    files[scriptName(index)] = script;
  });
  return files;
}

function scriptName(index: number): string {
  return `step-${index}.sh`;
}

/** Refuses a job with a step that Linux could not execute, which its image or its instance may cause. Errors: `job_refused`. */
export function checkCommands(deps: CommandDeps): void {
  for (const [index, step] of deps.job.dockerSteps.entries()) {
    const fault = commandFault(argumentsOf(deps, index), guestView(deps, index, null).env);
    if (fault !== null)
      throw jobRefused(
        `step ${stepName(step, index)} cannot be executed: ${fault}`,
        'Put what is large into a file.',
      );
  }
}

/**
 * Runs the steps one after the other, each until the deadline of the job at most. Init stops it then, and also when the job has to
 * stop: a signal, a grace period, and the end of what is left. If init does not, the VM is killed. Calls `onExit` with each exit code. Errors: `step_failed`, `step_not_started`, `deadline`, `memory`, and the guest's.
 */
export async function runSteps(deps: StepDeps, onExit: (exitCode: number) => void): Promise<void> {
  const deadline = deps.clock.bootTime() + deps.job.fumehood.deadlineMs;
  for (const index of deps.job.dockerSteps.keys()) await runStep(deps, index, deadline, onExit);
}

async function runStep(
  deps: StepDeps,
  index: number,
  deadline: number,
  onExit: (exitCode: number) => void,
): Promise<void> {
  const { guest, job } = deps;
  const step = stepAt(job, index);
  const name = stepName(step, index);
  const argv = argumentsOf(deps, index);
  if (deadline <= deps.clock.bootTime()) throw deadlinePassed(name, job.fumehood.deadlineMs);
  const log = deps.openLog(`step.docker.${name}`, argv);
  const lastOutput = { stdout: '', stderr: '' };
  const writeOutput = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    lastOutput[stream] = (lastOutput[stream] + chunk.toString('latin1')).slice(-quotedBytes);
    return log.write(stream, chunk);
  };
  const view = guestView(deps, index, scriptPath(step, index));
  const command = { ...view, argv, ...(index === 0 && { terminal: job.fumehood.terminal }) };
  const streams = {
    stdin:
      index === 0 && job.fumehood.stdin ? deps.openStdin((size) => guest.resizeStep(view.id, size)) : null,
    stdout: writeOutput('stdout'),
    stderr: writeOutput('stderr'),
  };
  const exit = await runCommand(deps, name, command, streams, deadline).catch(endLog(log));
  await checkExit(deps, name, exit, log, onExit, () =>
    Buffer.from(lastOutput.stderr.trim() || lastOutput.stdout.trim(), 'latin1').toString('utf8'),
  );
}

/** Ends the log of a step with an error, and throws the error. */
export function endLog(log: PhaseLog): (error: unknown) => Promise<never> {
  return async (error) => {
    await log.end(-1).catch(() => {}); // a failure of the log is ignored: the first error is the cause
    throw error;
  };
}

/**
 * Runs one command in the guest until `deadline`, ms of boot time, and never longer than the guest may take to say that it has ended; the
 * VM is killed then. `name` is that of the step, for errors. Errors: `deadline`, those of the streams and of the guest.
 */
export async function runCommand(
  deps: Pick<StepDeps, 'guest' | 'vm' | 'clock' | 'job' | 'limits' | 'setEndStep'>,
  name: string,
  command: GuestCommand,
  streams: StepStreams,
  deadline: number,
): Promise<StepExit> {
  const { guest, vm, clock, job, limits } = deps;
  const { stopGraceMs, deadlineMs, resources } = job.fumehood;
  const remainingMs = deadline - clock.bootTime();
  const late = () => deadlinePassed(name, deadlineMs);
  if (remainingMs <= 0) throw late();
  const running = guest.step(
    {
      ...command,
      memoryBytes: stepMemoryBytes(resources.memoryMiB),
      pids: pidsMax,
      deadlineMs: Math.ceil(remainingMs),
      graceMs: stopGraceMs,
    },
    streams,
  );
  const endMs = stopGraceMs + limits.reportMs;
  const ended = new AbortController();
  deps.setEndStep(() => {
    guest.stopStep(command.id);
    clock.sleep(endMs, ended.signal).then(
      () => vm.kill(),
      () => {},
    );
  });
  return await withinTime(clock, vm, remainingMs + endMs, running, late).finally(() => {
    deps.setEndStep(null);
    ended.abort();
  });
}

/**
 * Ends the log of a step that has ended, and calls `onExit`. `quote` returns what an error quotes of its output. Errors: `step_failed`,
 * `step_not_started`, `deadline`, `memory`.
 */
export async function checkExit(
  { job, lease }: Pick<StepDeps, 'job' | 'lease'>,
  name: string,
  exit: StepExit,
  log: PhaseLog,
  onExit: (exitCode: number) => void,
  quote: () => string,
): Promise<void> {
  const exitCode = exitCodeOf(exit);
  if (exit.reason === 'start') await log.write('stderr', Buffer.from(`${exit.message}\n`));
  await log.end(exitCode);
  onExit(exitCode);
  lease.stopped.throwIfAborted();
  const { deadlineMs, resources } = job.fumehood;
  if (exit.reason === 'deadline') throw deadlinePassed(name, deadlineMs);
  if (exit.reason === 'memory') throw memoryExceeded(name, stepMemoryBytes(resources.memoryMiB));
  if (exit.reason === 'start') throw stepNotStarted(name, exit.message);
  if (exitCode !== 0) throw stepFailed(name, exitCode, quote().split('\n').slice(-10).join('\n'));
}

function stepId(index: number): string {
  return `step-${index}`;
}

function stepAt(job: ValidatedJob, index: number): DockerStep {
  return job.dockerSteps[index] as DockerStep;
}

function scriptPath(step: DockerStep, index: number): string | null {
  return stepScript(step) === null ? null : `${scriptDirectory}/${stepName(step, index)}.sh`;
}

function argumentsOf(deps: CommandDeps, index: number): string[] {
  const step = stepAt(deps.job, index);
  return stepArguments(step, imageConfig(deps, index), scriptPath(step, index));
}

export function imageConfig({ images }: CommandDeps, index: number): ImageConfig {
  return (images[index] as ImageDisk).config;
}

/** Returns what a step sees in the guest. Errors: `job_refused` for a working directory that leads out of the workspace. */
function guestView(deps: CommandDeps, index: number, script: string | null): Omit<GuestCommand, 'argv'> {
  const step = stepAt(deps.job, index);
  const image = imageConfig(deps, index);
  const root = rootView(deps, index);
  return {
    ...root,
    env: environmentOf(deps, step, image),
    user: image.user,
    cwd: stepDirectory(step, image, hasWorkspace(deps.job)),
    binds: [
      ...root.binds,
      ...(script
        ? [{ source: `${guestPaths.files}/${scriptName(index)}`, target: script, mode: 'ro' as const }]
        : []),
    ],
  };
}

/** Returns the whole environment of a step. */
export function environmentOf(
  { job, hostname, extraEnvironment }: CommandDeps,
  step: DockerStep,
  image: ImageConfig,
): string[] {
  const repository = job.repositoryName === '' ? null : job.repositoryDirectory;
  const broker = brokerEnvironment(job.fumehood.broker ?? []);
  return stepEnvironment(step, image, hostname, repository, broker, extraEnvironment);
}

/** Returns what every command in the root of a step's image sees: its files, and the workspace of the job. */
export function rootView(
  deps: CommandDeps,
  index: number,
): Pick<GuestCommand, 'id' | 'root' | 'hostname' | 'volumes' | 'stopSignal' | 'binds'> {
  const { job, hostname } = deps;
  const image = imageConfig(deps, index);
  const bind = (source: string, target: string) => ({ source, target, mode: 'rw' as const });
  const file = (name: string) => `${guestPaths.files}/${name}`;
  return {
    id: stepId(index),
    root: guestPaths.root(index),
    hostname,
    volumes: image.volumes ?? [],
    stopSignal: image.stopSignal ?? defaultStopSignal,
    binds: [
      bind(file('hosts'), '/etc/hosts'),
      bind(file('hostname'), '/etc/hostname'),
      bind(file('resolv.conf'), '/etc/resolv.conf'),
      ...(hasWorkspace(job) ? [bind(guestPaths.workspace, workspaceTarget)] : []),
    ],
  };
}

/** Returns the exit code that a shell would report: 128 plus the number of the signal that ended the step. */
function exitCodeOf(exit: Pick<StepExit, 'code' | 'signal'>): number {
  return exit.signal > 0 ? 128 + exit.signal : Math.max(0, exit.code);
}
