import type { Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, integer, jsonOption, tiers } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

interface SetOptions extends ClientOptions {
  readonly repositories: string;
  readonly branch?: string;
  readonly tag?: string | true;
  readonly maxAge?: number;
  readonly pause: number;
  readonly accept?: Tier[];
}

/** Adds `fumehood index-policies set`. */
export function addIndexPoliciesSet(policies: Command): void {
  policies
    .command('set')
    .description('have commits indexed whenever a repository was synced; replaces a policy of the same name')
    .argument('<name>', 'name of the policy', accessName)
    .option('--repositories <pattern>', 'names of the repositories, with * for any text', '*')
    .option('--branch <pattern>', 'tips of these branches; default: of the default branch')
    .addOption(new Option('--tag [pattern]', 'tags, all or these').conflicts('branch'))
    .option('--max-age <days>', 'leave out commits that are older', integer(1, 10_000))
    .option(
      '--pause <seconds>',
      'least time between two commits of one repository',
      integer(0, 31_536_000),
      0,
    )
    .addOption(new Option('--accept <tier>', 'isolation that is good enough (repeatable)').argParser(tiers))
    .addOption(jsonOption())
    .action(set);
}

async function set(name: string, options: SetOptions): Promise<void> {
  const { repositories, branch, tag, maxAge, pause, accept } = options;
  const pattern = tag === undefined ? branch : tag === true ? undefined : tag;
  const policy = await (await connect(options)).code.setPolicy(name, {
    ...{ repositories, kind: tag === undefined ? 'branch' : 'tag', pauseSeconds: pause },
    ...(pattern !== undefined && { pattern }),
    ...(maxAge !== undefined && { maxAgeSeconds: maxAge * 86_400 }),
    ...(accept !== undefined && { accept }),
  });
  printDone(options, policy, `${name} counts from the next sync of each repository`);
}
