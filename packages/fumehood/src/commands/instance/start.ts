import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';
import type { InstanceOptions } from '../../instance/options.ts';

/** Adds `fumehood instance start`. */
export function addInstanceStart(instance: Command): void {
  addInstanceOptions(
    instance
      .command('start')
      .description('run the instance of this machine in the foreground, with its log on stderr'),
  )
    .addHelpText(
      'after',
      [
        '',
        'DATABASE_URL names a PostgreSQL (15 or newer) to use in place of a private one. settings.json of the state directory has more settings;',
        'these options come before it. Without --listen the instance listens on loopback alone. The first SIGTERM stops it.',
      ].join('\n'),
    )
    .action(async (options: InstanceOptions) => {
      const { settingsOf } = await import('../../instance/options.ts');
      const { becomeInstance } = await import('../../instance/start.ts');
      await becomeInstance(commandContext(), settingsOf(options, process.env), options);
    });
}

/** Adds the options that `settingsOf` understands. */
export function addInstanceOptions(command: Command): Command {
  return command
    .option('--listen <address:port>', 'listen there too; beyond loopback with TLS or behind a proxy alone')
    .option('--url <url>', 'address by which other machines reach the instance')
    .option('--tls-cert <file>', 'PEM file of the certificate and its chain; read again when it changes')
    .option('--tls-key <file>', 'PEM file of its key')
    .option('--behind-proxy', 'a proxy in front of the address ends TLS')
    .option('--log-json', 'write the log as JSON, one object per line');
}
