import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as z from 'zod';
import { FumehoodError } from '../errors.ts';
import { type Identity, identityFlags } from '../identity.ts';
import { ipcError, ipcErrorSchema, receiveMessages, sendMessage } from '../ipc.ts';
import { logFormatVariable } from '../log-lines.ts';
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

/**
 * Starts a helper's child without privilege, with an IPC channel to the helper. The helper kills a child that breaks the channel's
 * protocol. The kernel kills the child when the helper dies, however that happens.
 */
export async function startChild(program: ChildProgram): Promise<HelperChild> {
  const { node, script, config, identity } = program;
  const flags = [...identityFlags(identity), '--pdeathsig', 'KILL'];
  const child = spawn('setpriv', [...flags, node, script, config], {
    cwd: '/',
    env: { LC_ALL: 'C.UTF-8', NODE_ENV: 'production', [logFormatVariable]: process.env[logFormatVariable] },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
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
  return { process: child, exited };
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
