import type { Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { commandContext } from '../cli/context.ts';
import { integer, labels, tiers, variables } from '../cli/options.ts';
import { note, type PrintOptions, printJson, writeOutput } from '../cli/print.ts';

interface RunOptions extends PrintOptions {
  readonly accept: Tier[];
  readonly env?: string[];
  readonly cpus: number;
  readonly memory: number;
  readonly scratch: number;
  readonly label?: string[];
  readonly timeout: number;
}

/** Adds `fumehood run`. */
export function addRun(program: Command): void {
  program
    .command('run')
    .description('run a command in a fresh VM, and exit with its exit code')
    .argument(
      '<image>',
      'oci:DIR[:REF], docker-archive:FILE, or the name of an image that comes with Fumehood',
    )
    .argument('[command...]', 'the command, after `--`; default: the command of the image')
    .addOption(
      new Option('--accept <tier>', 'also accept this tier of isolation (repeatable)')
        .argParser(tiers)
        .default(['vm-hardware'], 'vm-hardware only'),
    )
    .option('-e, --env <name=value>', 'set an environment variable (repeatable)', variables)
    .option('--cpus <n>', 'number of CPUs', integer(1, 64), 1)
    .option('--memory <MiB>', 'size of the memory', integer(128, 2 ** 20), 1024)
    .option('--scratch <MiB>', 'size of the writable disk', integer(64, 2 ** 20), 4096)
    .option('--label <label>', 'run only on an executor with this label (repeatable)', labels)
    .option('--timeout <seconds>', 'stop the command after this time', integer(1, 86_400), 3600)
    .option('--json', 'print the job as one JSON object on stdout, and its output on stderr')
    .addHelpText(
      'after',
      [
        '',
        'Exit codes that are not those of the command:',
        '  2    an argument is wrong',
        '  3    no connected executor can run the job',
        '  4    the command succeeded, but the instance dropped a part of its output',
        '  124  the time is over',
        '  125  the job failed for another reason',
        '  130  interrupted',
        '  137  out of memory',
      ].join('\n'),
    )
    .action(run);
}

async function run(image: string, command: string[], options: RunOptions): Promise<void> {
  const { checkImage, parseImage, provideImage, withPlainImage } = await import('../run/image.ts');
  const { runCommand } = await import('../run/run.ts');
  const { bringUp } = await import('../up/up.ts');
  const context = commandContext();
  const { client, digest } = await withPlainImage(parseImage(image), context.state, async (plain) => {
    await checkImage(plain, note);
    const started = await bringUp(context);
    return { client: started, digest: await provideImage(started, plain, context.state, note) };
  });
  const stdin = process.stdin.isTTY ? null : process.stdin;
  const { job, code } = await runCommand(client, {
    job: {
      queue: 'runs',
      image: digest,
      argv: command,
      env: options.env ?? [],
      stdin: stdin !== null,
      accept: options.accept,
      cpus: options.cpus,
      memoryMiB: options.memory,
      scratchMiB: options.scratch,
      labels: options.label ?? [],
      deadlineMs: options.timeout * 1000,
    },
    stdin,
    output: (stream, bytes) => writeOutput(options.json ? 'stderr' : stream, bytes),
    note,
  });
  if (options.json) printJson(job);
  process.exitCode = code;
}
