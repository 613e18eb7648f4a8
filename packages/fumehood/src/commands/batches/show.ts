import { systemClock } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { BatchChangeRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { batchChangeLines } from '../../batches/lines.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { note, printResult } from '../../cli/print.ts';
import { interruptedCode, watchInterrupts } from '../../run/interrupt.ts';

/** Adds `fumehood batches show`. */
export function addBatchesShow(batches: Command): void {
  addBatchChangeCommand(batches, 'show')
    .description('show a batch change and its changesets')
    .option(
      '-f, --follow',
      'until its changesets are as they shall be; ending this command ends nothing else',
    )
    .action(async (named: string, options: BatchChangeOptions & { follow?: boolean }) => {
      const { namespace, follow } = options;
      const client = await connect(options);
      let found = await findBatchChange(client, named, namespace);
      if (follow) found = await untilInterrupted(client, found.id);
      const changesets = await client.batches.changesets(found.id);
      printResult(options, { ...found, changesetList: changesets }, batchChangeLines(found, changesets));
    });
}

/** Follows a batch change, and says on stderr what goes on, until it is done or the user has seen enough. */
async function untilInterrupted(client: Client, id: string): Promise<BatchChangeRecord> {
  const { untilDone } = await import('../../batches/until-done.ts');
  const interrupts = watchInterrupts(() => {});
  try {
    const { signal } = interrupts;
    const last = await untilDone(client, id, { clock: systemClock, signal, onProgress: note });
    if (signal.aborted) process.exitCode = interruptedCode;
    return last;
  } finally {
    interrupts.release();
  }
}
