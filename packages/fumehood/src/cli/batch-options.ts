import { batchIdSchema, type BatchOptions, namespaceSchema, type Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import type { ClientOptions } from './context.ts';
import { addIndexJobOptions, type IndexJobOptions, indexJobSettings } from './index-job-options.ts';
import { jsonOption, labels, parsed, tiers } from './options.ts';

/** Parses the id of a batch spec, a workspace, a batch change or a changeset. */
export const batchId = parsed(batchIdSchema);

/** Adds an id to those of the options before, each once. */
export function batchIds(text: string, previous: string[] = []): string[] {
  return [...new Set([...previous, batchId(text)])];
}

/** Makes the option `--workspace` of commands that are about all workspaces of a batch spec, or about some. */
export function workspaceOption(): Option {
  return new Option('--workspace <id>', 'only this workspace (repeatable)').argParser(batchIds);
}

/** Parses a namespace: a user, or `org/NAME`. */
export const batchNamespace = parsed(namespaceSchema);

/** Makes the option `--namespace`. */
export function namespaceOption(description: string): Option {
  return new Option('-n, --namespace <name>', description).argParser(batchNamespace);
}

/** The options of a command for one batch change. */
export interface BatchChangeOptions extends ClientOptions {
  readonly namespace?: string;
}

/** Adds a command for one batch change. */
export function addBatchChangeCommand(batches: Command, name: string): Command {
  return batches
    .command(name)
    .argument('<batch-change>', 'its name, or its id')
    .addOption(namespaceOption('the user or org/NAME whose it is; default: any that you may see'))
    .addOption(jsonOption());
}

/** What the jobs of batch changes get, as options. */
export interface BatchJobOptions extends IndexJobOptions {
  readonly accept?: Tier[];
  readonly label?: string[];
}

/** Adds the options of the jobs of batch changes, which mean what those of `fumehood run` do. */
export function addBatchJobOptions(command: Command): Command {
  return addIndexJobOptions(command, { network: 'none', broker: 'none' })
    .option('--accept <tier>', 'run the steps in this isolation tier (repeatable)', tiers)
    .option('--label <label>', 'only on executors with this label (repeatable)', labels);
}

/** Returns the options of jobs that were given as the API has them. */
export function batchJobSettings(options: BatchJobOptions): BatchOptions {
  const { accept, label } = options;
  return {
    ...indexJobSettings(options),
    ...(accept !== undefined && { accept }),
    ...(label !== undefined && { labels: label }),
  };
}
