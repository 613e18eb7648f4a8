import type { Command } from 'commander';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printDone } from '../../cli/print.ts';

/** Adds `fumehood batches validate`. */
export function addBatchesValidate(batches: Command): void {
  batches
    .command('validate')
    .description('check a batch spec, and that what its steps mount is there; asks no instance')
    .requiredOption('-f, --file <path>', 'the batch spec; - is stdin')
    .addOption(jsonOption())
    .action(async (options: PrintOptions & { file: string }) => {
      const { readSpecFile } = await import('@fumehood/client');
      const { spec } = await readSpecFile(options.file, process.stdin);
      printDone(options, { valid: true, name: spec.name }, `the batch spec of ${spec.name} is valid`);
    });
}
