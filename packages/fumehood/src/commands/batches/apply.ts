import { counted } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { ApplyBatchSpec, Publication } from '@fumehood/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { SpecOptions } from '../../batches/execute.ts';
import { batchChangeLines } from '../../batches/lines.ts';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { integer, jsonOption } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';
import { addSpecOptions } from '../../cli/spec-options.ts';
import { usage } from '../../errors.ts';

type PublicationStates = NonNullable<ApplyBatchSpec['publicationStates']>;

interface ApplyOptions extends ClientOptions, SpecOptions {
  readonly waveSize?: number;
  readonly maxFailed?: number;
  readonly publish?: boolean;
  readonly draft?: boolean;
}

/** Adds `fumehood batches apply`. */
export function addBatchesApply(batches: Command): void {
  addSpecOptions(batches.command('apply'))
    .description('have the instance push and open what a batch spec says; with --file run it first')
    .argument('[spec]', 'id of a batch spec that was executed', batchId)
    .option('--publish', 'publish the changesets of which the batch spec does not say whether they are')
    .addOption(
      new Option('--draft', 'the same, as drafts, where the code host has them').conflicts('publish'),
    )
    .option('--wave-size <n>', 'publish so many changesets at a time', integer(1, 10_000))
    .option(
      '--max-failed <share>',
      'begin the next wave if at most this share of the checks has failed, from 0 to 1; default: 0',
      share,
    )
    .addOption(jsonOption())
    .action(apply);
}

async function apply(named: string | undefined, options: ApplyOptions): Promise<void> {
  const { waveSize, maxFailed, publish, draft } = options;
  if (maxFailed !== undefined && waveSize === undefined)
    throw usage('--max-failed is about waves', 'Give --wave-size, too.');
  const { completedSpec } = await import('../../batches/execute.ts');
  const client = await connect(options);
  const id = await completedSpec(client, named, options);
  if (id === null) return;
  const waves = waveSize === undefined ? null : { size: waveSize, failedShareMax: maxFailed ?? 0 };
  const publicationStates = publish || draft ? await undecided(client, id, draft ? 'draft' : true) : [];
  const applied = await client.batches.apply(id, { waves, publicationStates });
  const changesets = await client.batches.changesets(applied.id);
  printResult(options, { ...applied, changesetList: changesets }, batchChangeLines(applied, changesets));
  const waiting = changesets.filter(({ state, published }) => state === 'unpublished' && published === null);
  if (waiting.length > 0)
    note(
      `nothing is pushed of ${counted(waiting.length, 'changeset')} before \`fumehood batches publish ${applied.name}\``,
    );
  note(`\`fumehood batches show --follow ${applied.name}\` shows what becomes of it`);
}

/** Returns this publication for each changeset of which the batch spec says nothing. */
async function undecided(client: Client, id: string, publication: Publication): Promise<PublicationStates> {
  const { changesets } = await client.batches.preview(id);
  return changesets.flatMap(({ changesetSpec, headRef, published }) =>
    changesetSpec !== null && headRef !== null && published === null ? [{ changesetSpec, publication }] : [],
  );
}

function share(text: string): number {
  const value = Number(text);
  if (!/^(0|1|0?\.\d+)$/.test(text) || value > 1)
    throw new InvalidArgumentError('Give a number from 0 to 1, such as 0.2.');
  return value;
}
