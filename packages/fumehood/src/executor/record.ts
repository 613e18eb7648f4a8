import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { routeSchema } from '@fumehood/executor';
import { type JoinedExecutor, joinedExecutorSchema } from '@fumehood/protocol';
import * as z from 'zod';
import { notJoined, usage } from '../errors.ts';
import type { State } from '../state/state.ts';
import { storeSecret } from './secret-file.ts';

/** What the executor of this machine has got from the instance elsewhere that it joined. Its credential is in a file of its own. */
const recordSchema = joinedExecutorSchema
  .omit({ credential: true })
  .extend({ instanceUrl: z.string(), route: routeSchema });
export type JoinRecord = z.infer<typeof recordSchema>;

const recordFile = (state: State) => join(state.root, 'executor.json');
/** Returns the path of the file with the executor's credential. */
export const credentialFile = (state: State): string => join(state.run, 'executor-credential');

/** Refuses a state directory whose executor belongs to an instance already. Errors: `usage`. */
export function requireUnjoined(state: State): void {
  if (existsSync(recordFile(state)))
    throw usage(
      `the executor of this machine has joined ${readJoined(state).instanceUrl} already`,
      'Run `fumehood executor leave` first.',
    );
  if (existsSync(join(state.run, 'token')))
    throw usage(
      `an instance has its state in ${state.root}, and \`fumehood up\` starts its executor`,
      'Set FUMEHOOD_STATE to another directory for an executor of another instance.',
    );
}

/**
 * Refuses a state directory whose executor belongs to an instance elsewhere: root owns it, and that of an instance belongs to a user.
 * Errors: `usage`.
 */
export function requireNoExecutor(state: State): void {
  if (existsSync(recordFile(state)))
    throw usage(
      `${state.root} has the state of an executor of ${readJoined(state).instanceUrl}`,
      'Set FUMEHOOD_STATE to another directory for an instance, or run `fumehood executor leave` first.',
    );
}

/** Stores what the instance has answered. Only root and the agent can read the credential. */
export function storeJoined(state: State, root: boolean, joined: JoinedExecutor, record: JoinRecord): void {
  storeSecret(credentialFile(state), root, `${joined.credential}\n`);
  writeFileSync(`${recordFile(state)}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o644 });
  renameSync(`${recordFile(state)}.new`, recordFile(state));
}

/** Returns what the executor of this machine has joined. Errors: `not_joined`. */
export function readJoined(state: State): JoinRecord {
  if (!existsSync(recordFile(state))) throw notJoined(state.root);
  return recordSchema.parse(JSON.parse(readFileSync(recordFile(state), 'utf8')));
}

/** Returns the executor's credential. */
export function readCredential(state: State): string {
  return readFileSync(credentialFile(state), 'utf8').trim();
}

/** Forgets the instance. */
export function removeJoined(state: State): void {
  rmSync(recordFile(state), { force: true });
  rmSync(credentialFile(state), { force: true });
}
