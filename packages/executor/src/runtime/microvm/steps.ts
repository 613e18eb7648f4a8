import type { Readable } from 'node:stream';
import type { Clock } from '@fumehood/base';
import { brokerEnvironment } from '@fumehood/egress';
import { type Guest, type GuestStep, type StepExit } from '@fumehood/microvm';
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
const defaultStopSignal = 15;
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
  const { guest, vm, clock, job, limits, lease } = deps;
  const { stopGraceMs } = job.fumehood;
  const step = stepAt(job, index);
  const name = stepName(step, index);
  const script = scriptPath(step, index);
  const argv = argumentsOf(deps, index);
  const remainingMs = deadline - clock.bootTime();
  if (remainingMs <= 0) throw deadlinePassed(name, job.fumehood.deadlineMs);
  const memoryBytes = stepMemoryBytes(job.fumehood.resources.memoryMiB);
  const log = deps.openLog(`step.docker.${name}`, argv);
  const lastOutput = { stdout: '', stderr: '' };
  const writeOutput = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    lastOutput[stream] = (lastOutput[stream] + chunk.toString('latin1')).slice(-quotedBytes);
    return log.write(stream, chunk);
  };
  const running = guest.step(
    {
      ...guestView(deps, index, script),
      argv,
      memoryBytes,
      pids: pidsMax,
      deadlineMs: Math.ceil(remainingMs),
      graceMs: stopGraceMs,
      ...(index === 0 && { terminal: job.fumehood.terminal }),
    },
    {
      stdin:
        index === 0 && job.fumehood.stdin
          ? deps.openStdin((size) => guest.resizeStep(stepId(index), size))
          : null,
      stdout: writeOutput('stdout'),
      stderr: writeOutput('stderr'),
    },
  );
  const late = () => deadlinePassed(name, job.fumehood.deadlineMs);
  const endMs = stopGraceMs + limits.reportMs;
  const ended = new AbortController();
  deps.setEndStep(() => {
    guest.stopStep(stepId(index));
    clock.sleep(endMs, ended.signal).then(
      () => vm.kill(),
      () => {},
    );
  });
  const exit = await withinTime(clock, vm, remainingMs + endMs, running, late)
    .catch(async (error: unknown) => {
      await log.end(-1).catch(() => {}); // a failure of the log is ignored: the first error is the cause
      throw error;
    })
    .finally(() => {
      deps.setEndStep(null);
      ended.abort();
    });
  const exitCode = exitCodeOf(exit);
  if (exit.reason === 'start') await log.write('stderr', Buffer.from(`${exit.message}\n`));
  await log.end(exitCode);
  onExit(exitCode);
  lease.stopped.throwIfAborted();
  const quoted = Buffer.from(lastOutput.stderr.trim() || lastOutput.stdout.trim(), 'latin1').toString('utf8');
  if (exit.reason === 'deadline') throw deadlinePassed(name, job.fumehood.deadlineMs);
  if (exit.reason === 'memory') throw memoryExceeded(name, memoryBytes);
  if (exit.reason === 'start') throw stepNotStarted(name, exit.message);
  if (exitCode !== 0) throw stepFailed(name, exitCode, quoted.split('\n').slice(-10).join('\n'));
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

function imageConfig({ images }: CommandDeps, index: number): ImageConfig {
  return (images[index] as ImageDisk).config;
}

/** Returns what a step sees in the guest. Errors: `job_refused` for a working directory that leads out of the workspace. */
function guestView(
  deps: CommandDeps,
  index: number,
  script: string | null,
): Omit<GuestStep, 'argv' | 'memoryBytes' | 'pids' | 'deadlineMs' | 'graceMs'> {
  const { job, hostname, extraEnvironment } = deps;
  const step = stepAt(job, index);
  const image = imageConfig(deps, index);
  const inWorkspace = hasWorkspace(job);
  const repository = job.repositoryName === '' ? null : job.repositoryDirectory;
  const bind = (source: string, target: string, mode: 'ro' | 'rw' = 'rw') => ({ source, target, mode });
  const file = (name: string) => `${guestPaths.files}/${name}`;
  return {
    id: stepId(index),
    root: guestPaths.root(index),
    env: stepEnvironment(
      step,
      image,
      hostname,
      repository,
      brokerEnvironment(job.fumehood.broker ?? []),
      extraEnvironment,
    ),
    user: image.user,
    stopSignal: image.stopSignal ?? defaultStopSignal,
    cwd: stepDirectory(step, image, inWorkspace),
    hostname,
    volumes: image.volumes ?? [],
    binds: [
      bind(file('hosts'), '/etc/hosts'),
      bind(file('hostname'), '/etc/hostname'),
      bind(file('resolv.conf'), '/etc/resolv.conf'),
      ...(inWorkspace ? [bind(guestPaths.workspace, workspaceTarget)] : []),
      ...(script ? [bind(file(scriptName(index)), script, 'ro')] : []),
    ],
  };
}

/** Returns the exit code that a shell would report: 128 plus the number of the signal that ended the step. */
function exitCodeOf(exit: Pick<StepExit, 'code' | 'signal'>): number {
  return exit.signal > 0 ? 128 + exit.signal : Math.max(0, exit.code);
}
