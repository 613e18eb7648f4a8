import { type Helper, type SuperviseDeps, supervise } from '@fumehood/base';
import { canLimit, sweepVms } from '@fumehood/microvm';
import type { Log } from '../log.ts';
import { startAgentProcess } from './child.ts';
import type { HelperConfig } from './config.ts';
import { makeDirectories } from './directories.ts';
import { sweepProgramGroups } from './program-groups.ts';

/**
 * Starts the executor's helper, its only process with privilege: it starts the agent, and starts it again when it dies. Before each
 * start it removes the VMs that a crash left. Errors: those of `startAgentProcess`.
 */
export async function startHelper(
  config: HelperConfig,
  deps: SuperviseDeps & { readonly log: Log },
): Promise<Helper> {
  const directories = makeDirectories(config);
  const cgroups = await canLimit();
  return await supervise(
    'the agent',
    async () => {
      await sweepProgramGroups(config.state);
      const swept = await sweepVms(directories.vms);
      if (swept.found > 0) deps.log.warn({ swept }, 'a crash had left virtual machines');
      return await startAgentProcess(config, directories, cgroups, deps.log);
    },
    deps,
  );
}
