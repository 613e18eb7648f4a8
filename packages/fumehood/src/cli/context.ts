import { type Clock, systemClock } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import { openState, type State } from '../state/state.ts';
import { note } from './print.ts';

/** What a command works with. */
export interface CommandContext {
  readonly state: State;
  readonly clock: Clock;
  /** Whether this process is root. */
  readonly root: boolean;
  readonly onProgress: (line: string) => void;
}

/** Returns the context of this process: its state directory, its user and the real clock. */
export function commandContext(): CommandContext {
  const uid = process.getuid?.() ?? 0;
  return { state: openState(process.env, uid), clock: systemClock, root: uid === 0, onProgress: note };
}

/** Connects to the instance that runs in the state directory. Errors: `not_running`. */
export async function connect(): Promise<Client> {
  const { runningClient } = await import('../up/running.ts');
  return await runningClient(commandContext().state);
}
