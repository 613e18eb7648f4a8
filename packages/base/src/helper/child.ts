import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import * as z from 'zod';
import { FumehoodError } from '../errors.ts';
import { type Identity, identityFlags } from '../identity.ts';
import { ipcError, ipcErrorSchema, receiveMessages, sendMessage } from '../ipc.ts';
import { logFormatVariable } from '../log-lines.ts';
import { seccompFilter } from '../seccomp/filter.ts';
import { confined } from './confine.ts';
import { guardChannel } from './guard.ts';
import type { ProcessExit } from './supervise.ts';

/** The unprivileged process that a helper starts. */
export interface ChildProgram {
  readonly node: string;
  readonly script: string;
  /** The configuration file, which is the script's one argument. */
  readonly config: string;
  /** Null without root: the child runs as the helper's own user. */
  readonly identity: Identity | null;
  /** With these it sees nothing of the host but the network (see `confined`), and is in the cgroups of these files. */
  readonly confinement?: { readonly joinFiles: readonly string[] };
}

export interface HelperChild {
  readonly process: ChildProcess;
  readonly exited: Promise<ProcessExit>;
}

/** The first message of a child. */
const startMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('child.started'), facts: z.unknown() }),
  z.object({ type: z.literal('child.failed'), error: ipcErrorSchema }),
]);
type StartMessage = z.input<typeof startMessageSchema>;

/** The descriptor from which a confined child's filter is read, after that of the channel. */
const filterDescriptor = 4;

/**
 * Starts a helper's child without privilege, with an IPC channel to the helper. The helper kills a child that breaks the channel's
 * protocol. The kernel kills the child when the helper dies, however that happens.
 */
export async function startChild(program: ChildProgram): Promise<HelperChild> {
  const { node, script, config, identity, confinement } = program;
  // A bwrap that is killed while it makes the namespaces leaves their first process; later it dies with this process by itself.
  const start = confinement ? confined(program, filterDescriptor) : ['--pdeathsig', 'KILL'];
  const child = spawn('setpriv', [...identityFlags(identity), ...start, node, script, config], {
    cwd: '/',
    env: { LC_ALL: 'C.UTF-8', NODE_ENV: 'production', [logFormatVariable]: process.env[logFormatVariable] },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...(confinement ? (['pipe'] as const) : [])],
  });
  await once(child, 'spawn');
  let reason: string | null = null;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal, ...(reason !== null && { reason }) }));
  });
  guardChannel(child, (why) => {
    reason = `it was killed, because it broke the protocol: ${why}`;
    child.kill('SIGKILL');
  });
  if (confinement) await release(child, confinement.joinFiles);
  return { process: child, exited };
}

/** Lets a confined child go on, which waits for its filter, once it is in its cgroups. Rejects when it cannot join them; then it is dead. */
async function release(child: ChildProcess, joinFiles: readonly string[]): Promise<void> {
  const filter = child.stdio[filterDescriptor] as Writable;
  filter.on('error', () => {}); // it has ended, and its exit says why
  try {
    for (const file of joinFiles) await writeFile(file, String(child.pid));
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  filter.end(seccompFilter(['unix', 'inet', 'inet6']));
}

/**
 * Waits until the child reports that it has started, and returns the facts that it reports. Rejects with the child's own error
 * when it reports a failure, and with `died` when it ends before; then the child is dead.
 */
export async function untilStarted<S extends z.ZodType>(
  child: HelperChild,
  facts: S,
  died: (how: string) => FumehoodError,
): Promise<z.output<S>> {
  const { promise, resolve, reject } = Promise.withResolvers<z.output<S>>();
  receiveMessages(child.process, startMessageSchema, (message) => {
    if (message.type === 'child.started') resolve(facts.parseAsync(message.facts));
    else reject(new FumehoodError(message.error));
  });
  void child.exited.then(({ code, signal }) => reject(died(String(code ?? signal))));
  try {
    return await promise;
  } catch (error) {
    child.process.kill('SIGKILL');
    await child.exited;
    throw error;
  }
}

/** Reports to this process's helper that it has started; see `untilStarted`. */
export function reportStarted(facts: object): Promise<void> {
  return sendMessage(process, { type: 'child.started', facts } satisfies StartMessage);
}

/** Reports to this process's helper why it cannot start; see `untilStarted`. */
export function reportFailed(error: unknown): Promise<void> {
  return sendMessage(process, { type: 'child.failed', error: ipcError(error) } satisfies StartMessage);
}
