import { rm } from 'node:fs/promises';
import { normalize } from 'node:path/posix';
import { layout } from '#layout';
import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import {
  note,
  noteCommandPath,
  type PrintOptions,
  printJson,
  printLines,
  writeOutput,
} from '../cli/print.ts';
import demoOptions from '../demo/options.json' with { type: 'json' };
import type { Report } from '../demo/report.ts';
import { usage } from '../errors.ts';

interface DemoOptions extends PrintOptions {
  readonly repo?: string;
  readonly root?: string;
  readonly commit?: string;
  readonly install?: boolean;
}

/** Small enough for an emulated CPU: the whole job takes less than 90 s. */
const ownRoot = 'packages/base';

/** Adds `fumehood demo`. */
export function addDemo(program: Command): void {
  const command = program
    .command('demo')
    .description('index a git repository in a fresh VM, and print a report')
    .action(demo);
  // The same list that setup.mjs checks arguments by, before anything is installed.
  for (const { name, value, description } of demoOptions)
    command.option(value === undefined ? `--${name}` : `--${name} <${value.toLowerCase()}>`, description);
}

/** Checks all arguments before it makes or starts anything. */
async function demo(options: DemoOptions): Promise<void> {
  const { openRepository } = await import('../demo/repository.ts');
  const { runDemo } = await import('../demo/demo.ts');
  const { makeExample } = await import('../demo/example.ts');
  const { dependenciesOf, openRegistry, requireNetwork } = await import('../demo/install.ts');
  const { bringUp } = await import('../up/up.ts');
  if (options.install) requireNetwork();
  const example = options.install && options.repo === undefined ? await makeExample() : null;
  try {
    const repo = options.repo ?? example ?? ownRepository();
    const root = relativeRoot(options.root ?? (repo === options.repo || example ? '' : ownRoot));
    const repository = await openRepository(repo, options.commit ?? 'HEAD', root);
    const context = commandContext();
    const dependencies = options.install ? await dependenciesOf(repository) : [];
    const registry = options.install ? await openRegistry(context) : null;
    const client = await bringUp(context);
    const report = await runDemo({
      client,
      state: context.state,
      repository,
      install: registry && { ...registry, dependencies },
      note,
      output: (bytes) => writeOutput('stderr', bytes),
    });
    await printReport(options, report);
  } finally {
    if (example) await rm(example, { recursive: true, force: true });
  }
}

async function printReport(options: DemoOptions, report: Report): Promise<void> {
  const { reportJson, reportLines } = await import('../demo/report.ts');
  note('the instance and the executor keep running; `fumehood down` stops them');
  noteCommandPath();
  if (options.json) printJson(reportJson(report));
  else printLines(['', ...reportLines(report)]);
}

function ownRepository(): string {
  if (layout.isCheckout) return layout.root;
  throw usage('there is no repository to index', 'Give --repo the path of a git repository.');
}

function relativeRoot(text: string): string {
  const root = normalize(text === '' ? '.' : text).replace(/\/$/, '');
  if (root.startsWith('/') || root === '..' || root.startsWith('../'))
    throw usage(`--root ${text} leads out of the repository`, 'Give a path below the top of the repository.');
  return root === '.' ? '' : root;
}
