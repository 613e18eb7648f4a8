import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Control } from './control.ts';
import { feedStdin } from './stdin.ts';
import type { OutputReader, OutputSink } from './output.ts';

/** A step as init runs it. */
export interface GuestStep {
  readonly id: string;
  /** Path of the assembled root file system in the guest. */
  readonly root: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Docker's `USER`, which init looks up in the root's own passwd and group files. */
  readonly user: string;
  readonly cwd: string;
  readonly hostname: string;
  readonly binds: readonly { readonly source: string; readonly target: string; readonly mode: 'ro' | 'rw' }[];
  /** Directories that init makes where the root has none, owned by root. */
  readonly volumes: readonly string[];
  readonly memoryBytes: number;
  readonly pids: number;
  /** After this time init asks the step to end. 0: no deadline. */
  readonly deadlineMs: number;
  /** The number of the signal that asks the step to end, as `docker stop` does: at its deadline, or by `Guest.stopStep`. */
  readonly stopSignal: number;
  /** How long the step may go on then, ms. Init kills what is left of it afterwards. */
  readonly graceMs: number;
  /** It has a terminal of this size: all of its output is on stdout. Missing: none. */
  readonly terminal?: TerminalSize | undefined;
}

/** The size of a terminal, 1 to 1,000 each. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** How a step ended. */
export interface StepExit {
  /** Exit code, or -1 when a signal ended the step. */
  readonly code: number;
  readonly signal: number;
  readonly reason: 'exit' | 'signal' | 'deadline' | 'memory' | 'start';
  /** What failed, for the reason `start`; empty otherwise. */
  readonly message: string;
}

/** Where a step's stdin comes from and where its outputs go. */
export interface StepStreams {
  readonly stdin: Readable | null;
  readonly stdout: OutputSink;
  readonly stderr: OutputSink;
}

/** The channel's streams that a step uses. */
export interface StepChannel {
  readonly control: Control;
  readonly stdin: Socket;
  readonly stdout: OutputReader;
  readonly stderr: OutputReader;
}

/**
 * Runs a step until it has ended and the sinks have taken every byte of its output. Rejects with the error of its stdin or of a
 * sink, without waiting for the step's end, or as `control.broken` does.
 */
export async function runStep(
  channel: StepChannel,
  step: GuestStep,
  streams: StepStreams,
): Promise<StepExit> {
  const { control } = channel;
  const exited = control.next('exited', step.id);
  const started = control.next('started', step.id);
  const stdout = channel.stdout.begin(streams.stdout);
  const stderr = channel.stderr.begin(streams.stderr);
  control.send('step', stepFields(step));
  await started;
  const stdin = feedStdin(channel.stdin, streams.stdin, (total) =>
    control.send('stdin-end', [step.id, total]),
  );
  try {
    await Promise.race([exited, stdin.failed, stdout.failed, stderr.failed]);
  } catch (error) {
    void stdin.stop(); // not awaited: a guest that does not read its stdin would block it
    throw error;
  }
  await stdin.stop();
  const [, code, signal, stdoutBytes, stderrBytes, reason, message] = (await exited).fields;
  await Promise.race([Promise.all([stdout.until(stdoutBytes), stderr.until(stderrBytes)]), control.broken]);
  return { code, signal, reason, message };
}

function sizePairs({ rows, columns }: TerminalSize): [string, number][] {
  return [
    ['rows', rows],
    ['columns', columns],
  ];
}

function stepFields(step: GuestStep): (string | number)[] {
  const pairs: [string, string | number][] = [
    ['root', step.root],
    ['user', step.user],
    ['cwd', step.cwd],
    ['hostname', step.hostname],
    ['memory', step.memoryBytes],
    ['pids', step.pids],
    ['deadline', step.deadlineMs],
    ['stop-signal', step.stopSignal],
    ['grace', step.graceMs],
    ...(step.terminal ? sizePairs(step.terminal) : []),
    ...step.argv.map((arg): [string, string] => ['arg', arg]),
    ...step.env.map((variable): [string, string] => ['env', variable]),
    ...step.volumes.map((path): [string, string] => ['volume', path]),
    ...step.binds.map(({ source, target, mode }): [string, string] => [
      'bind',
      `${source}\0${target}\0${mode}`,
    ]),
  ];
  return [step.id, ...pairs.flat()];
}
