import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Identity } from '../identity.ts';
import { spawnFailed } from './errors.ts';
import { defaultLimits, profileCommand, profileDescriptors } from './profile.ts';
import { seccompFilter } from './seccomp.ts';
import { watchSandbox } from './sandbox.ts';
import type { SpawnedProcess, SpawnRequest } from './spawn.ts';

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
  const start = gatedSpawn(identity);
  return async (request) => {
    const gated = await start(request);
    gated.open();
    return gated.process;
  };
}

/** The same, held back until its streams are where they belong. */
export function gatedSpawn(identity: Identity | null): (request: SpawnRequest) => Promise<GatedProcess> {
  return async (request) => {
    const { command, environment } = profileCommand(request, identity);
    const [program, ...args] = command;
    const nothing = openSync('/dev/null', 'r');
    const stdio = Array<'pipe' | number>(profileDescriptors.facts + 1).fill('pipe');
    for (const descriptor of inheritedDescriptors()) stdio[descriptor] = nothing;
    // A process group of its own: a terminal's Ctrl-C is not for it.
    // What it makes in a shared directory is for the group, which is the caller's.
    const umask = process.umask(0o007);
    const child = spawn(program, args, {
      stdio: Array.from(stdio, (one) => one ?? 'ignore'),
      env: {},
      cwd: '/',
      detached: true,
    });
    process.umask(umask);
    closeSync(nothing);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(spawnFailed(request.label, error.message)));
    });
    const sockets = child.stdio as unknown as Socket[];
    const [stdin, stdout, stderr] = sockets as [Socket, Socket, Socket];
    const own = (name: keyof typeof profileDescriptors) => sockets[profileDescriptors[name]] as Socket;
    // A program that does not read its stdin, or never comes to read the rest, is no error; its exit tells.
    for (const socket of [stdin, own('seccomp'), own('environment'), own('gate')])
      socket.on('error', () => {});
    own('seccomp').end(seccompFilter());
    own('environment').end(environment);
    const { exited, kill } = watchSandbox(
      child,
      own('facts'),
      request.limits?.timeMs ?? defaultLimits.timeMs,
    );
    return {
      process: { stdin, stdout, stderr, exited, kill },
      sockets: { stdin, stdout, stderr },
      open: () => void own('gate').end('go\n'),
    };
  };
}

let inherited: readonly number[] | null = null;

/** Descriptors that whoever started this process left open: Node's own are not passed on, these would be. */
function inheritedDescriptors(): readonly number[] {
  const closesOnExec = 0o2000000;
  inherited ??= readdirSync('/proc/self/fdinfo')
    .map(Number)
    .filter((descriptor) => {
      if (descriptor <= profileDescriptors.facts) return false;
      try {
        const facts = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
        return (Number.parseInt(/^flags:\s*(\d+)$/m.exec(facts)?.[1] ?? '0', 8) & closesOnExec) === 0;
      } catch {
        return false; // it was the listing's own
      }
    });
  return inherited;
}
