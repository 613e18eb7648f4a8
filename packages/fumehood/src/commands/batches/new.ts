import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { specNotWritten } from '../../batches/errors.ts';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printDone } from '../../cli/print.ts';

/** Adds `fumehood batches new`. */
export function addBatchesNew(batches: Command): void {
  batches
    .command('new')
    .description('write a batch spec to begin with')
    .argument('<name>', 'name of the batch change')
    .option('-f, --file <path>', 'where to write it', 'batch.spec.yaml')
    .addOption(jsonOption())
    .action(async (name: string, options: PrintOptions & { file: string }) => {
      const { checkBatchSpec } = await import('@fumehood/batch-spec');
      const { batchSpecBeginning } = await import('@fumehood/client');
      const { file } = options;
      const text = batchSpecBeginning(name);
      checkBatchSpec(text);
      await writeFile(file, text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        throw specNotWritten(
          file,
          error.code === 'EEXIST' ? 'it is there already' : (error.code ?? error.message),
        );
      });
      printDone(
        options,
        { file },
        `wrote ${file}: \`fumehood batches preview --file ${file}\` runs its steps`,
      );
    });
}
