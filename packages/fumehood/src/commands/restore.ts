import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { type PrintOptions, printResult } from '../cli/print.ts';

/** Adds `fumehood restore`. */
export function addRestore(program: Command): void {
  program
    .command('restore')
    .description('restore a backup into the instance of this machine, which must be empty and not run')
    .argument('<file>', 'what `fumehood backup` has written, by this version or an older one')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      [
        '',
        'DATABASE_URL, or databaseUrl of settings.json, names the PostgreSQL to restore into, as for `fumehood instance start`.',
        'Nothing is changed before the whole file was checked. After an interruption, restore it again.',
      ].join('\n'),
    )
    .action(async (file: string, options: PrintOptions) => {
      const { restore } = await import('../backup/restore.ts');
      const { header, images, commits } = await restore(commandContext(), file);
      const { version, madeAt } = header;
      printResult(options, { file, version, madeAt, images, commits }, [
        `restored the backup of ${madeAt}, by Fumehood ${version}; start the instance with \`fumehood up\` or \`fumehood instance start\``,
      ]);
    });
}
