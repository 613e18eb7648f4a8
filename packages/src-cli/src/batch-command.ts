import type { Command } from 'commander';
import type { BatchDeps, Flags } from './batch.ts';

/**
 * Adds `src batch`. Unlike upstream's, `preview` and `apply` need no Docker: the executors of the instance run the steps. So the flags of
 * upstream's that are about this machine are not there.
 */
export function addBatch(program: Command, deps: BatchDeps): void {
  // Executors run this program for uploads: they need not wait for the rest.
  const load = () => import('./batch.ts');
  const batch = program
    .command('batch')
    .description('batch changes; the executors of the instance run all steps');
  batch
    .command('new')
    .description('write a batch spec to begin with')
    .option('-f <path>', 'where to write it', 'batch.spec.yaml')
    .action(async ({ f }: Flags) => (await load()).writeBeginning(f, deps));
  batch
    .command('validate')
    .description('check a batch spec; asks no instance')
    .option('-f <path>', 'the batch spec; - is stdin', 'batch.spec.yaml')
    .action(async ({ f }: Flags) => (await load()).validate(f, deps));
  addSendFlags(batch.command('repositories').alias('repos'))
    .description('list the repositories in which the steps would run')
    .action(async (flags: Flags) => (await load()).listRepositories(flags, deps));
  addSendFlags(batch.command('remote'))
    .description('have the instance run a batch spec, and do not wait')
    .action(async (flags: Flags) => (await load()).remote(flags, deps));
  addSendFlags(batch.command('preview'))
    .description('have the instance run a batch spec, and show what applying it would do')
    .action(async (flags: Flags) => (await load()).preview(flags, deps));
  addSendFlags(batch.command('apply'))
    .description('have the instance run a batch spec, and apply it')
    .action(async (flags: Flags) => (await load()).apply(flags, deps));
}

function addSendFlags(command: Command): Command {
  return command
    .option('-f <path>', 'the batch spec; - is stdin', 'batch.spec.yaml')
    .option('-n, --namespace <name>', 'a user, or org/NAME; default: the user of the token')
    .option('--allow-ignored', 'also run in repositories that have a .batchignore')
    .option('--allow-unsupported', 'also run in repositories on whose host no changeset can be opened')
    .option('--clear-cache', 'run every step, also where there is a result of an earlier one');
}
