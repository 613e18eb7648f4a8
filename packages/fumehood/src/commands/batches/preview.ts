import type { Command } from 'commander';
import type { SpecOptions } from '../../batches/execute.ts';
import { previewLines } from '../../batches/lines.ts';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { addSpecOptions } from '../../cli/spec-options.ts';

/** Adds `fumehood batches preview`. */
export function addBatchesPreview(batches: Command): void {
  addSpecOptions(batches.command('preview'))
    .description('show what would happen if a batch spec were applied; with --file run it first')
    .argument('[spec]', 'id of a batch spec that was executed', batchId)
    .addOption(jsonOption())
    .action(async (named: string | undefined, options: ClientOptions & SpecOptions) => {
      const { completedSpec } = await import('../../batches/execute.ts');
      const client = await connect(options);
      const id = await completedSpec(client, named, options);
      if (id === null) return;
      const preview = await client.batches.preview(id);
      printResult(options, { spec: id, ...preview }, previewLines(preview, id));
    });
}
