import { egressPolicyText, type IndexSettings } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';

/** Adds `fumehood index settings show`. */
export function addIndexSettingsShow(settings: Command): void {
  settings
    .command('show')
    .description('show what an admin has set for the index jobs of a repository')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      const stored = await (await connect(options)).code.settings(repository);
      printResult(options, stored, settingsLines(stored));
    });
}

function settingsLines({ settings, setBy, setAt }: IndexSettings): string[] {
  const { cpus, memoryMiB, scratchMiB, deadlineMs, network, broker, secrets } = settings;
  const names = (list: readonly string[]) => (list.length === 0 ? 'none' : list.join(', '));
  const rows = [
    ...(cpus === undefined ? [] : [['CPUs', String(cpus)]]),
    ...(memoryMiB === undefined ? [] : [['memory', `${memoryMiB} MiB`]]),
    ...(scratchMiB === undefined ? [] : [['scratch', `${scratchMiB} MiB`]]),
    ...(deadlineMs === undefined ? [] : [['timeout', `${deadlineMs / 1_000} s`]]),
    ...(network === undefined ? [] : [['network', egressPolicyText(network)]]),
    ...(broker === undefined ? [] : [['broker', names(broker)]]),
    ...(secrets === undefined ? [] : [['secrets', names(secrets)]]),
    ['set', `${minuteOf(setAt)} by ${setBy}`],
  ];
  return table(rows);
}
