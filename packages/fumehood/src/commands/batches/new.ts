import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { specExists, specUnreadable } from '../../batches/errors.ts';
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
      const { parseBatchSpec } = await import('@fumehood/batch-spec');
      const { file } = options;
      const text = beginning(name);
      parseBatchSpec(text);
      await writeFile(file, text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'EEXIST' ? specExists(file) : specUnreadable(file, error.code ?? error.message);
      });
      printDone(
        options,
        { file },
        `wrote ${file}: \`fumehood batches preview --file ${file}\` runs its steps`,
      );
    });
}

/** Returns a batch spec that appends a line to each README. */
function beginning(name: string): string {
  return `name: ${JSON.stringify(name)}
description: Say hello in every README

# Which repositories: one by one, or all that a query finds.
on:
  - repositoriesMatchingQuery: file:README.md

# What happens in each of them. A step runs in a fresh microVM without a network.
steps:
  - run: echo Hello >> README.md
    container: alpine:3

# What becomes of the changes.
changesetTemplate:
  title: Say hello
  body: This adds a greeting.
  branch: hello
  commit:
    message: Say hello
  published: false
`;
}
