import { mkdirSync } from 'node:fs';
import { applyRoute, joinInstance, leaveInstance, openHttp, type Route } from '@fumehood/executor';
import type { CommandContext } from '../cli/context.ts';
import { makeState } from '../state/make.ts';
import { removeService } from '../systemd/install.ts';
import { stopExecutor } from '../up/down.ts';
import { findRunning } from '../up/running.ts';
import {
  type JoinRecord,
  readCredential,
  readJoined,
  removeJoined,
  requireUnjoined,
  storeJoined,
} from './record.ts';

/**
 * Exchanges a join token for the credential of this machine's executor, and stores it. The token is used only once this machine is known to
 * have a place for the credential. Errors: `usage`, `instance_refused`, `instance_unreachable`, and those of `makeState` and `applyRoute`.
 */
export async function joinAs(
  { state, root }: CommandContext,
  instanceUrl: string,
  token: string,
  route: Route,
): Promise<JoinRecord> {
  makeState(state, root);
  requireUnjoined(state);
  mkdirSync(state.run, { recursive: true, mode: 0o755 });
  await applyRoute(instanceUrl, route);
  const joined = await joinInstance(openHttp(instanceUrl), token);
  const { name, queues, labels } = joined;
  const record = { name, queues, labels, instanceUrl, route };
  storeJoined(state, root, joined, record);
  return record;
}

/**
 * Stops the executor of this machine, with its jobs finished first, has the instance revoke its credential, and forgets the instance. Errors:
 * `not_joined`, `instance_unreachable`: then nothing is forgotten.
 */
export async function leave(context: CommandContext): Promise<JoinRecord> {
  const { state, root } = context;
  const record = readJoined(state);
  const { executor } = findRunning(state);
  if (executor) await stopExecutor(executor, { ...context, drain: true });
  await applyRoute(record.instanceUrl, record.route);
  await leaveInstance(openHttp(record.instanceUrl), readCredential(state));
  if (root) removeService('executor');
  removeJoined(state);
  return record;
}
