import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnFailed } from './errors.ts';
import { defaultLimits, type Identity, profileCommand, profileDescriptors } from './profile.ts';
import { seccompFilter } from './seccomp.ts';
import type { ExitStatus, SpawnedProcess, SpawnRequest } from './spawn.ts';

/** A program behind its gate: it does nothing until `open` is called. */
export interface GatedProcess {
  readonly process: SpawnedProcess;
  readonly sockets: { readonly stdin: Socket; readonly stdout: Socket; readonly stderr: Socket };
  open(): void;
}

/**
 * Runs programs under the profile as this identity (needs root), or, with `null`, under one's own uid: weaker, and said so
 * wherever isolation is reported.
 */
export function localSpawn(identity: Identity | null): (request: SpawnRequest) => Promise<SpawnedProcess> {
  return async (request) => (await start(request, identity, false)).process;
}

/** The same, held back until its streams are where they belong. */
export function gatedSpawn(identity: Identity | null): (request: SpawnRequest) => Promise<GatedProcess> {
  return (request) => start(request, identity, true);
}

async function start(
  request: SpawnRequest,
  identity: Identity | null,
  gated: boolean,
): Promise<GatedProcess> {
  const [command, ...args] = profileCommand(request, identity, gated) as [string, ...string[]];
  const filter = openFilter();
  const stdio: ('pipe' | number)[] = ['pipe', 'pipe', 'pipe', filter];
  if (gated) stdio.push('pipe');
  // A process group of its own: the whole chain is killed, whatever stage it is in.
  // What it makes in a shared directory is for the group, which is the caller's.
  const umask = process.umask(0o007);
  const child = spawn(command, args, { stdio, env: {}, cwd: '/', detached: true });
  process.umask(umask);
  closeSync(filter);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(spawnFailed(request.label, error.message)));
  });
  const kill = () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL');
    } catch {
      // it has ended
    }
  };
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, request.limits?.timeMs ?? defaultLimits.timeMs);
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, timedOut });
    });
  });
  const [stdin, stdout, stderr] = child.stdio as unknown as [Socket, Socket, Socket];
  stdin.on('error', () => {}); // a program that does not read its stdin is no error; its exit tells
  return {
    process: { stdin, stdout, stderr, exited, kill },
    sockets: { stdin, stdout, stderr },
    open: () => void (child.stdio[profileDescriptors.gate] as Socket).end('g'),
  };
}

let filterBytes: Buffer | null = null;

/** The filter as an open file at its beginning, without a name. */
function openFilter(): number {
  filterBytes ??= seccompFilter();
  const directory = mkdtempSync(join(tmpdir(), 'glovebox-filter-'));
  const path = join(directory, 'filter');
  try {
    writeFileSync(path, filterBytes, { mode: 0o400 });
    return openSync(path, 'r');
  } finally {
    rmSync(directory, { recursive: true });
  }
}
