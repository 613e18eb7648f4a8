import { layout } from '#layout';
import type { CommandContext } from '../cli/context.ts';
import { installService, untilServing } from '../systemd/install.ts';
import { findRunning } from '../up/running.ts';

/**
 * Makes the executor of the state directory a service, and waits until its instance has heard of it. Returns the path of its unit. Errors:
 * `service_failed`.
 */
export async function installExecutor(
  { state, clock, onProgress }: CommandContext,
  name: string,
): Promise<string> {
  onProgress(`starting the executor ${name}`);
  const unit = installService('executor', {
    command: layout.command,
    options: [],
    state: state.root,
  });
  await untilServing('executor', clock, () => findRunning(state).executor?.isConnected === true);
  return unit;
}
