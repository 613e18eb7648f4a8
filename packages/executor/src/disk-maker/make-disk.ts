import { chmod, mkdtemp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import {
  abortable,
  type AllowedCommand,
  FumehoodError,
  factsOf,
  removeTree,
  runToEnd,
  type Spawn,
  type SpawnBind,
  sharedDirectory,
} from '@fumehood/base';
import { sqfstarMemoryMiB, takeDisk } from '@fumehood/disk';
import { vmmMemoryMiB } from '@fumehood/microvm';
import { diskMakerFailed, diskNeedsMemory } from '../errors.ts';
import { answerMax, type DiskAnswer, diskAnswerSchema, type DiskRequest, insidePaths } from './messages.ts';
import { sandboxNode } from '../sandbox-node.ts';

/** What making disks needs on this host. */
export interface DiskMakerDeps {
  readonly spawn: Spawn;
  /** Paths of Node and of the bundled disk maker. */
  readonly node: string;
  readonly script: string;
}

type Made<T> = Extract<DiskAnswer, { type: T }> & { readonly bytes: number };

/** Makes the disks of one job. */
export interface DiskMaker {
  /**
   * Makes a disk at `file`, complete or not at all, from what `binds` shows to the sandbox, and returns the answer and the bytes of
   * the file system. `contents` are those of the request's files. Errors: those that `diskAnswerSchema` lists,
   * `disk_needs_memory`, and the signal's reason.
   */
  make<T extends DiskRequest['type']>(
    request: Extract<DiskRequest, { type: T }>,
    binds: readonly SpawnBind[],
    file: string,
    signal: AbortSignal,
    contents?: readonly Uint8Array[],
  ): Promise<Made<T>>;
}

const scriptTarget = '/opt/fumehood/disk-maker.mjs';
/** Memory of a disk maker beside its heap: that of Node, git and sqfstar, MiB. */
const outsideHeapMiB = 192 + sqfstarMemoryMiB;
const heapMaxMiB = 2048;
/** Processes and threads of a disk maker: those of Node, and of git or sqfstar, which has one for each processor. */
const processesMax = 256;

/**
 * Returns the heap of a disk maker, MiB, for a job with this memory: the disks of a job are made before its VM starts, and so within
 * the memory that is reserved for the VM.
 */
export function heapMiB(jobMemoryMiB: number): number {
  return Math.min(jobMemoryMiB + vmmMemoryMiB - outsideHeapMiB, heapMaxMiB);
}

/**
 * Returns the disk maker of one job. It makes one disk at a time, each in a process of its own (`main.ts`) in a sandbox. That is a
 * process and not a thread, because a process can be killed at any moment, has limits that the kernel keeps, and shares neither
 * memory nor credentials with the agent.
 */
export function diskMakerOf(
  deps: DiskMakerDeps,
  jobMemoryMiB: number,
  heap: number = heapMiB(jobMemoryMiB),
): DiskMaker {
  let last: Promise<unknown> = Promise.resolve();
  return {
    make(request, binds, file, signal, contents = []) {
      const run = () =>
        makeDisk(deps, heap, request, binds, file, signal, contents).catch((error: unknown) => {
          throw isOutOfMemory(error) ? diskNeedsMemory(jobMemoryMiB) : error;
        });
      const made = last.then(run, run);
      last = made;
      return made;
    },
  };
}

/** Returns what the helper has to allow for a disk maker whose directories are below `directory`. */
export function diskMakerCommand(
  { node, script }: Omit<DiskMakerDeps, 'spawn'>,
  directory: string,
): AllowedCommand {
  const bind = (target: string, mode: 'ro' | 'rw', from = directory) => ({ target, mode, from });
  return {
    program: sandboxNode,
    args: [/--max-old-space-size=\d+/, scriptTarget],
    binds: [
      ...[bind(sandboxNode, 'ro', node), bind(scriptTarget, 'ro', script)],
      ...[bind(insidePaths.out, 'rw'), bind(insidePaths.archive, 'ro'), bind(insidePaths.repository, 'ro')],
    ],
  };
}

async function makeDisk<T extends DiskRequest['type']>(
  { spawn, node, script }: DiskMakerDeps,
  heap: number,
  request: Extract<DiskRequest, { type: T }>,
  binds: readonly SpawnBind[],
  file: string,
  signal: AbortSignal,
  contents: readonly Uint8Array[],
): Promise<Made<T>> {
  signal.throwIfAborted();
  const work = await mkdtemp(join(dirname(file), '.disk-'));
  const out = join(work, 'out');
  try {
    await chmod(work, 0o710); // the program, which has this process's group, must get through
    await sharedDirectory(out);
    const program = {
      label: 'the disk maker',
      program: sandboxNode,
      args: [`--max-old-space-size=${heap}`, scriptTarget],
      binds: [
        { source: node, target: sandboxNode, mode: 'ro' as const },
        { source: script, target: scriptTarget, mode: 'ro' as const },
        { source: out, target: insidePaths.out, mode: 'rw' as const },
        ...binds,
      ],
      limits: {
        memoryBytes: 0,
        totalMemoryBytes: (heap + outsideHeapMiB) * 2 ** 20,
        processes: processesMax,
      },
    };
    const stdin = Readable.from([Buffer.from(`${JSON.stringify(request)}\n`), ...contents]);
    const { stdout, uid } = await runToEnd(abortable(spawn, signal), program, {
      stdin,
      maxStdoutBytes: answerMax,
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
    const answer = parseAnswer(stdout);
    if (answer.type === 'failed') throw new FumehoodError(answer.error);
    if (answer.type !== request.type) throw diskMakerFailed('it answered another request');
    const { bytes } = await takeDisk(join(out, 'disk'), join(work, 'disk'), file, uid);
    return { ...(answer as Extract<DiskAnswer, { type: T }>), bytes };
  } finally {
    await removeTree(spawn, work);
  }
}

function parseAnswer(output: Buffer): DiskAnswer {
  try {
    return diskAnswerSchema.parse(JSON.parse(output.toString('utf8')));
  } catch (error) {
    throw diskMakerFailed(`its answer is not one (${String(error).slice(0, 200)})`);
  }
}

/** Node aborts when its heap is full. The kernel kills a process when all of them together have no memory left. */
function isOutOfMemory(error: unknown): boolean {
  const { code, message } = factsOf(error);
  return code === 'program_failed' && /ended with (134|137|SIGABRT|SIGKILL)\b/.test(message);
}
