import { createReadStream } from 'node:fs';
import { collect, factsOf } from '@fumehood/base';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';
import { indexConfigUnreadable, usage } from '../../../errors.ts';

/** Longest configuration that is read, bytes: that of the instance. */
const configMax = 262_144;

/** Adds `fumehood index config set`. */
export function addIndexConfigSet(config: Command): void {
  config
    .command('set')
    .description('store how a repository is indexed; it counts before any file in a commit')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<file>', 'the configuration, as in fumehood.yaml; - reads stdin')
    .addOption(jsonOption())
    .action(async (repository: string, file: string, options: ClientOptions) => {
      if (file === '-' && options.tokenStdin)
        throw usage(
          'the configuration and --token-stdin are both on stdin',
          'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
        );
      const bytes = await collect(file === '-' ? process.stdin : createReadStream(file), configMax).catch(
        (error: unknown) => {
          throw indexConfigUnreadable(file, factsOf(error).message);
        },
      );
      const client = await connect(options);
      const stored = await client.code.setConfig(repository, bytes.toString('utf8'));
      printDone(options, stored, `the next indexing of ${repository} is as this configuration says`);
    });
}
