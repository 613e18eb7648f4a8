import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { type PrintOptions, printResult } from '../cli/print.ts';

/** Adds `fumehood backup`. */
export function addBackup(program: Command): void {
  program
    .command('backup')
    .description('write everything that the instance of this machine stores to a file, while it runs')
    .argument('<file>', 'the backup: it appears under this name, in place of an older one, when it is whole')
    .option('--with-keys', "also the key of the instance's secrets: who has the file can read them then")
    .addOption(jsonOption())
    .addHelpText(
      'after',
      [
        '',
        'The backup has the jobs with their output, indexes, users, the hashes of tokens and credentials, images and commits. It has neither',
        'settings.json nor the files in run/ of the state directory; --with-keys adds run/secrets-key, without which the secrets that the',
        'instance stores encrypted cannot be read. Only its owner can read the file. `fumehood restore` restores it.',
      ].join('\n'),
    )
    .action(async (file: string, options: PrintOptions & { withKeys?: boolean }) => {
      const { backUp } = await import('../backup/backup.ts');
      const { formatBytes } = await import('../state/usage.ts');
      const facts = await backUp(commandContext(), file, { withKeys: options.withKeys ?? false });
      const { jobs, images, commits, bytes } = facts;
      printResult(options, { file, ...facts }, [
        `${file}: ${jobs} jobs, ${images} images, ${commits} commits (${formatBytes(bytes)})`,
      ]);
    });
}
