import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Identity } from '../identity.ts';
import { spawnFailed } from './errors.ts';
import { defaultLimits, profileCommand, profileDescriptors } from './profile.ts';
import { seccompFilter } from '../seccomp/filter.ts';
import { watchSandbox } from './sandbox.ts';
import type { SpawnedProcess, SpawnRequest } from './spawn.ts';

/** A program that waits behind its gate: it does nothing until `open` is called. */
export interface GatedProcess {
  readonly process: SpawnedProcess;
  readonly sockets: { readonly stdin: Socket; readonly stdout: Socket; readonly stderr: Socket };
  open(): void;
}

/** A group of processes whose memory and number are bounded: a cgroup. */
export interface ProcessGroup {
  /** A process joins by writing 0 to each of these files. */
  readonly joinFiles: readonly string[];
  /** Removes the group, whose processes are dead. */
  remove(): Promise<void>;
}

/** Makes a group for the processes of one program. */
export type GroupProcesses = (limits: {
  readonly memoryBytes: number;
  readonly processes: number;
}) => Promise<ProcessGroup>;

/**
 * Returns a function that runs a program under the profile as this identity, which needs root. With null, programs run under the
 * uid of this process: that is weaker, and every report of the isolation says so. With a `group`, it keeps `totalMemoryBytes`.
 */
export function localSpawn(
  identity: Identity | null,
  group: GroupProcesses | null = null,
): (request: SpawnRequest) => Promise<SpawnedProcess> {
  const start = gatedSpawn(identity, group);
  return async (request) => {
    const gated = await start(request);
    gated.open();
    return gated.process;
  };
}

/** Returns a function like that of `localSpawn`, whose programs wait behind a gate until the caller opens it. */
export function gatedSpawn(
  identity: Identity | null,
  group: GroupProcesses | null,
): (request: SpawnRequest) => Promise<GatedProcess> {
  const start = gatedIn(identity);
  return async (request) => {
    const { totalMemoryBytes, processes = defaultLimits.processes } = request.limits ?? {};
    if (!group || totalMemoryBytes === undefined) return start(request, []);
    const made = await group({ memoryBytes: totalMemoryBytes, processes });
    const gated = await start(request, made.joinFiles).catch(async (error: unknown) => {
      await made.remove();
      throw error;
    });
    const exited = gated.process.exited.then(async (status) => {
      await made.remove();
      return status;
    });
    return { ...gated, process: { ...gated.process, exited } };
  };
}

/** Joins the groups of the files before `--`, and becomes the program after it. */
const joinGroups = 'until [ "$1" = -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"';

function gatedIn(
  identity: Identity | null,
): (request: SpawnRequest, joinFiles: readonly string[]) => Promise<GatedProcess> {
  return async (request, joinFiles) => {
    const { command, environment } = profileCommand(request, identity);
    const join = ['/bin/sh', '-c', joinGroups, 'sh', ...joinFiles, '--'] as const;
    const [program, ...args] = joinFiles.length > 0 ? ([...join, ...command] as const) : command;
    const devNull = openSync('/dev/null', 'r');
    const stdio = Array<'pipe' | number>(profileDescriptors.ready + 1).fill('pipe');
    for (const descriptor of inheritedDescriptors()) stdio[descriptor] = devNull;
    // The program's files in a shared directory are open to their group, which is the caller's.
    const umask = process.umask(0o007);
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        stdio: Array.from(stdio, (entry) => entry ?? 'ignore'),
        env: {},
        cwd: '/',
        detached: true, // in a process group of its own, which a terminal's Ctrl-C does not reach
      });
    } catch (error) {
      throw spawnFailed(request.label, (error as Error).message);
    } finally {
      process.umask(umask);
      closeSync(devNull);
    }
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(spawnFailed(request.label, error.message)));
    });
    const sockets = child.stdio as unknown as Socket[];
    const [stdin, stdout, stderr] = sockets as [Socket, Socket, Socket];
    const pipe = (name: keyof typeof profileDescriptors) => sockets[profileDescriptors[name]] as Socket;
    // Ignored: a program may end without reading its stdin or the rest, and its exit status says whether that was an error.
    for (const socket of [stdin, pipe('seccomp'), pipe('environment'), pipe('gate'), pipe('ready')])
      socket.on('error', () => {});
    pipe('seccomp').end(seccompFilter(['unix', 'inet', 'inet6']));
    pipe('environment').end(environment);
    const { exited, kill } = watchSandbox(child, request.limits?.timeMs ?? defaultLimits.timeMs);
    // Only then will the program die with this process: a line that was written before could start it after our death.
    const ready = new Promise((resolve) => pipe('ready').once('data', resolve));
    return {
      process: { uid: identity?.uid ?? ownUid(), stdin, stdout, stderr, exited, kill },
      sockets: { stdin, stdout, stderr },
      open: () => void ready.then(() => pipe('gate').end('go\n')),
    };
  };
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

let inherited: readonly number[] | null = null;

/**
 * Returns the descriptors that this process inherited from its parent. Node opens its own with O_CLOEXEC, but a child would inherit
 * these.
 */
function inheritedDescriptors(): readonly number[] {
  const O_CLOEXEC = 0o2000000;
  inherited ??= readdirSync('/proc/self/fdinfo')
    .map(Number)
    .filter((descriptor) => {
      if (descriptor <= profileDescriptors.ready) return false;
      try {
        const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
        return (Number.parseInt(/^flags:\s*(\d+)$/m.exec(info)?.[1] ?? '0', 8) & O_CLOEXEC) === 0;
      } catch {
        return false; // the descriptor of the listing itself, which is closed by now
      }
    });
  return inherited;
}
