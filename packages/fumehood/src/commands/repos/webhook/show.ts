import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';
import { deliveryLine, deliveryUrl, settingsOf } from '../../../repos/webhook-lines.ts';

/** Adds `fumehood repos webhook show`. */
export function addReposWebhookShow(webhook: Command): void {
  webhook
    .command('show')
    .description('show the webhook of a repository, without its secret')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      const found = await (await connect(options)).repositories.webhook(repository);
      const lines = table([
        ...settingsOf(deliveryUrl(found, options.url)),
        ['set', `${minuteOf(found.setAt)} by ${found.setBy}`],
        ['last delivery', deliveryLine(found)],
      ]);
      printResult(options, found, lines);
    });
}
