import type { Tier } from '@fumehood/protocol';
import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { acceptOption } from './start.ts';
import { type PrintOptions, printResult } from '../../cli/print.ts';

/** Adds `fumehood executor validate`. */
export function addExecutorValidate(executor: Command): void {
  executor
    .command('validate')
    .description('check all that an executor needs of this machine and of its instance')
    .addOption(acceptOption())
    .addOption(jsonOption())
    .action(async ({ accept, ...options }: PrintOptions & { readonly accept: Tier[] }) => {
      const { validateExecutor } = await import('../../executor/validate.ts');
      const { requirementLines } = await import('../../executor/requirements.ts');
      const requirements = await validateExecutor(commandContext(), accept);
      const valid = requirements.every(({ met }) => met);
      printResult(options, { valid, requirements }, requirementLines(requirements));
      if (!valid) process.exitCode = 1;
    });
}
