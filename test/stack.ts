import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, openClient } from '@fumehood/client';
import { makeState } from '../packages/fumehood/src/state/make.ts';
import { openState } from '../packages/fumehood/src/state/state.ts';
import { testGuest } from '../packages/executor/src/testing/test-guest.ts';

const repository = join(import.meta.dirname, '..');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** What stdin has until its end; null: stdin stays open, and nobody writes to it. */
  readonly input?: string | Buffer | null;
  /** Press Ctrl-C, as on a terminal, as soon as stderr matches this. */
  readonly interruptAt?: RegExp;
  /** Close the reading end of stdout as soon as this much arrived, bytes. */
  readonly closeAfter?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a program as a shell on a terminal does, in its own process group, which receives Ctrl-C. */
export function runProgram(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      detached: true,
      cwd: options.cwd ?? repository,
      env: { ...process.env, ...options.env },
    });
    let stdout = '';
    let stderr = '';
    let pressed = false;
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.length >= (options.closeAfter ?? Infinity)) child.stdout.destroy();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (pressed || !options.interruptAt?.test(stderr)) return;
      pressed = true;
      process.kill(-(child.pid as number), 'SIGINT');
    });
    child.stdin.on('error', () => {}); // a program may exit without reading its stdin
    if (options.input !== null) child.stdin.end(options.input ?? '');
    child.once('error', reject);
    child.once('exit', () => child.stdin.destroy());
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Fumehood as a user runs it, in its own state directory. */
export class Stack {
  readonly state: string;

  private constructor(state: string) {
    this.state = state;
  }

  /** Makes a state directory that holds nothing but the guest image, which takes 5 s to build; with `fresh`, nothing. */
  static async make(options: { readonly fresh?: boolean } = {}): Promise<Stack> {
    const state = await mkdtemp(join(tmpdir(), 'stack-'));
    await chmod(state, 0o755);
    makeState(openState({ FUMEHOOD_STATE: state }, 0), true);
    if (!options.fresh) await testGuest(join(state, 'guest'));
    return new Stack(state);
  }

  /** Runs the command line. */
  fumehood(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    const command = join(repository, 'packages/fumehood/bin/fumehood.mjs');
    const env = { FUMEHOOD_STATE: this.state, ...options.env };
    return runProgram([process.execPath, command, ...args], { ...options, env });
  }

  /** Returns a client of the running instance, as the command line uses it. */
  client(): Client {
    const { socket } = this.read('instance.json') as { socket: string };
    const token = readFileSync(join(this.state, 'run/token'), 'utf8').trim();
    return openClient({ url: `unix:${socket}`, token });
  }

  /** Returns the pid of the helper of the executor or of the instance. */
  pid(of: 'executor' | 'instance'): number {
    return (this.read(`${of}.json`) as { pid: number }).pid;
  }

  /** Returns the files of jobs and VMs. When nothing runs there are none, but for a moment the scratch disk that is made ahead for the next VM. */
  jobFiles(): string[] {
    return ['vms', 'executor/work']
      .map((name) => join(this.state, name))
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory).map((name) => join(directory, name)));
  }

  /** Returns the last lines of the logs of instance and executor, for the message of a test that failed. */
  logs(): string {
    return ['instance', 'executor']
      .map((name) => join(this.state, 'run/logs', `${name}.log`))
      .filter((file) => existsSync(file))
      .map((file) => `${file}:\n${readFileSync(file, 'utf8').split('\n').slice(-30).join('\n')}`)
      .join('\n');
  }

  async stop(): Promise<void> {
    await this.fumehood(['down']);
    await rm(this.state, { recursive: true, force: true });
  }

  private read(name: string): unknown {
    return JSON.parse(readFileSync(join(this.state, 'run', name), 'utf8'));
  }
}
