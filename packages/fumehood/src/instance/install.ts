import { layout } from '#layout';
import type { CommandContext } from '../cli/context.ts';
import { alreadyRunning } from '../errors.ts';
import { requireNoExecutor } from '../executor/record.ts';
import {
  environmentFile,
  installService,
  requireSystemd,
  untilServing,
  writeEnvironment,
} from '../systemd/install.ts';
import { findRunning } from '../up/running.ts';
import { isAlone } from '../up/up.ts';
import { type InstanceOptions, settingsOf } from './options.ts';

/**
 * Makes the instance of the state directory a service, and waits until it listens. Returns its URL on loopback and its unit. Errors:
 * `usage`, `service_impossible`, `service_failed`, `already_running` for one that `fumehood up` has started.
 */
export async function installInstance(
  { state, root, clock, onProgress }: CommandContext,
  options: InstanceOptions,
  environment: NodeJS.ProcessEnv,
): Promise<{ url: string; unit: string }> {
  settingsOf(options, environment); // what is wrong with them is said before anything is changed
  requireNoExecutor(state);
  requireSystemd(root, 'instance');
  const before = findRunning(state).instance;
  if (before && !isAlone(state)) throw alreadyRunning('an instance', state.root);
  if (environment.DATABASE_URL !== undefined)
    writeEnvironment('instance', 'DATABASE_URL', environment.DATABASE_URL);
  onProgress(`starting the service; secrets for it belong into ${environmentFile('instance')}`);
  const unit = installService('instance', {
    command: layout.command,
    options: argumentsOf(options),
    state: state.root,
  });
  const running = () => findRunning(state).instance;
  await untilServing('instance', clock, () => running()?.address != null && running()?.pid !== before?.pid);
  return { url: running()?.address?.url as string, unit };
}

/** Returns the options as they are typed. */
function argumentsOf({ listen, url, tlsCert, tlsKey, behindProxy, logJson }: InstanceOptions): string[] {
  const given = { '--listen': listen, '--url': url, '--tls-cert': tlsCert, '--tls-key': tlsKey };
  return [
    ...Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name, value])),
    ...(behindProxy ? ['--behind-proxy'] : []),
    ...(logJson ? ['--log-json'] : []),
  ];
}
