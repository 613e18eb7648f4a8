import { type Clock, systemClock } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import { openState, type State } from '../state/state.ts';
import { chooseTarget, type TargetOptions } from '../target/target.ts';
import { note, type PrintOptions } from './print.ts';

/** What a command works with. */
export interface CommandContext {
  readonly state: State;
  readonly clock: Clock;
  /** Whether this process is root. */
  readonly root: boolean;
  readonly environment: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
}

/** The options of a command that asks an instance and prints the answer. */
export type ClientOptions = PrintOptions & TargetOptions;

/** Returns the context of this process: its state directory, its user and the real clock. */
export function commandContext(): CommandContext {
  const uid = process.getuid?.() ?? 0;
  const environment = process.env;
  return {
    ...{ state: openState(environment, uid), clock: systemClock, root: uid === 0, environment },
    onProgress: note,
  };
}

/**
 * Connects to the instance that the options, the environment or the user's login choose, or else to the one that runs in the state
 * directory. Errors: those of `chooseTarget`, `not_running`, `token_unreadable`.
 */
export async function connect(options: TargetOptions): Promise<Client> {
  const chosen = await connectChosen(options);
  if (chosen) return chosen;
  const { runningClient } = await import('../up/running.ts');
  return await runningClient(commandContext().state, null);
}

/** Connects like `connect`; null if nothing chooses an instance or a token, so that the command may start an instance. */
export async function connectChosen(options: TargetOptions): Promise<Client | null> {
  const { url, token } = await chooseTarget(options, process.env, note);
  if (token === null) return null;
  if (url === null) {
    const { runningClient } = await import('../up/running.ts');
    return await runningClient(commandContext().state, token);
  }
  const { openRemote } = await import('../target/open.ts');
  return openRemote(url, token);
}
