import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood index-policies remove`. */
export function addIndexPoliciesRemove(policies: Command): void {
  policies
    .command('remove')
    .description('remove a policy; what it had indexed stays')
    .argument('<name>', 'name of the policy', accessName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).code.removePolicy(name);
      printDone(options, { removed: name }, `the policy ${name} is removed`);
    });
}
