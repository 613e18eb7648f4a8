import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { type PrintOptions, printResult } from '../cli/print.ts';

/** Adds `fumehood doctor`. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check what this machine can run, and show how to fix what it cannot')
    .addOption(jsonOption())
    .action(async (options: PrintOptions) => {
      const { examine, doctorLines } = await import('../doctor/doctor.ts');
      const report = await examine(commandContext());
      printResult(options, report, doctorLines(report));
      if (report.tiers.length === 0) process.exitCode = 1;
    });
}
