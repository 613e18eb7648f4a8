import { systemClock } from '@fumehood/base';
import { labelsSchema, type Tier, tierSchema } from '@fumehood/protocol';
import { Command, InvalidArgumentError, Option } from 'commander';
import { addAccess } from './access/program.ts';
import { addJobs } from './jobs/program.ts';
import { openState } from './state/state.ts';
import { versionOfThis } from './up/settings.ts';

/** What the commands stand on, made when one of them runs. */
function context() {
  const uid = process.getuid?.() ?? 0;
  return { state: openState(process.env, uid), clock: systemClock, root: uid === 0, onProgress: note };
}

/** Words for people: stdout belongs to results. */
function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/**
 * The command line. What a command needs is loaded when it runs: `--help` and `--version` answer at once. Errors:
 * `CommanderError` when there is nothing more to do, because everything or a mistake has been told.
 */
export function makeProgram(): Command {
  const program = new Command('fumehood')
    .description('Runs untrusted code in fresh microVMs.')
    .version(versionOfThis())
    .showHelpAfterError('  `fumehood --help` and `fumehood COMMAND --help` show what there is.')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'fumehood: ')) })
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const json = () => new Option('--json', 'print one JSON object on stdout');
  addRun(program);
  addDemo(program);
  addJobs(program, { state: () => context().state, printJson });
  addAccess(program, { state: () => context().state, printJson, note });

  program
    .command('up')
    .description('start the instance and an executor on this machine')
    .option(
      '--label <label>',
      'a label of the executor, for jobs that ask for it (repeatable)',
      labels,
      [] as string[],
    )
    .addOption(json())
    .action(async (options: { label: string[]; json?: boolean }) => {
      const { bringUp } = await import('./up/up.ts');
      const { findRunning } = await import('./up/running.ts');
      const deps = { ...context(), labels: options.label };
      const client = await bringUp(deps);
      const { tiers } = await client.status();
      const url = findRunning(deps.state).instance?.url;
      if (options.json) printJson({ url, tiers });
      else
        note(
          `the instance is at ${url}; this machine offers ${tiers.join(', ') || 'no virtual machines: see `fumehood doctor`'}`,
        );
    });
  program
    .command('down')
    .description('stop them')
    .option('--drain', 'let running jobs finish first')
    .addOption(json())
    .action(async (options: { drain?: boolean; json?: boolean }) => {
      const { stopAll } = await import('./up/down.ts');
      const stopped = await stopAll({ ...context(), drain: options.drain ?? false });
      if (options.json) printJson({ stopped });
      else if (stopped.length === 0) note('nothing was running');
    });
  program
    .command('status')
    .description('what runs, and where state lives')
    .addOption(json())
    .action(async (options: { json?: boolean }) => {
      const { readStatus, statusLines } = await import('./status/status.ts');
      const status = await readStatus(context().state);
      if (options.json) printJson(status);
      else process.stdout.write(`${statusLines(status).join('\n')}\n`);
    });
  program
    .command('clean')
    .description('remove what can be built or fetched again')
    .option('--all', 'remove everything: jobs, indexes, secrets')
    .addOption(json())
    .action(async (options: { all?: boolean; json?: boolean }) => {
      const { clean, cleanLines } = await import('./status/clean.ts');
      const { findFormerStates } = await import('./state/former-name.ts');
      const removed = await clean(context().state, options.all ?? false);
      for (const { path, remedy } of findFormerStates(process.env, process.getuid?.() ?? 0))
        note(`${path} is a state directory of this product's former name. ${remedy}`);
      if (options.json) printJson({ removed });
      else process.stdout.write(`${cleanLines(removed).join('\n')}\n`);
    });
  program
    .command('doctor')
    .description('what this machine can run, why, and how to mend what it cannot')
    .addOption(json())
    .action(async (options: { json?: boolean }) => {
      const { examine, doctorLines } = await import('./doctor/doctor.ts');
      const report = await examine(context());
      if (options.json) printJson(report);
      else process.stdout.write(`${doctorLines(report).join('\n')}\n`);
      if (report.tiers.length === 0) process.exitCode = 1;
    });
  return program;
}

function addRun(program: Command): void {
  program
    .command('run')
    .description('run a command in a fresh virtual machine; its exit code is this command’s')
    .argument('<image>', 'oci:DIR[:REF], docker-archive:FILE, or an image that comes with Fumehood')
    .argument('[command...]', 'after `--`; without it the image says what to run')
    .option('--accept <tier>', 'also accept this isolation (repeatable)', tiers, ['vm-hardware'] as Tier[])
    .option('-e, --env <name=value>', 'set a variable (repeatable)', variables, [] as string[])
    .option('--cpus <n>', 'processors', number(1, 64), 1)
    .option('--memory <MiB>', 'memory', number(128, 2 ** 20), 1024)
    .option('--scratch <MiB>', 'writable disk', number(64, 2 ** 20), 4096)
    .option('--label <label>', 'only on an executor with this label (repeatable)', labels, [] as string[])
    .option('--timeout <seconds>', 'stop it after this time', number(1, 86_400), 3600)
    .option('--json', 'print the job as one JSON object on stdout, and its output on stderr')
    .addHelpText(
      'after',
      '\nExit codes of its own: 2 wrong arguments, 3 nothing here can run it as accepted, 124 out of time, 125 it could not be run, 130 interrupted, 137 out of memory.',
    )
    .action(async (image: string, command: string[], options: RunOptions) => {
      const { checkImage, parseImage, provideImage } = await import('./run/image.ts');
      const { runCommand } = await import('./run/run.ts');
      const { bringUp } = await import('./up/up.ts');
      const name = parseImage(image);
      await checkImage(name);
      const deps = context();
      const client = await bringUp(deps);
      const digest = await provideImage(client, name, deps.state, note);
      const stdin = process.stdin.isTTY ? null : process.stdin;
      const { job, code } = await runCommand(client, {
        job: {
          queue: 'runs',
          image: digest,
          argv: command,
          env: options.env,
          stdin: stdin !== null,
          accept: options.accept,
          cpus: options.cpus,
          memoryMiB: options.memory,
          scratchMiB: options.scratch,
          labels: options.label,
          deadlineMs: options.timeout * 1000,
        },
        stdin,
        stdout: options.json ? process.stderr : process.stdout,
        stderr: process.stderr,
        note,
      });
      if (options.json) printJson(job);
      process.exitCode = code;
    });
}

interface RunOptions {
  readonly accept: Tier[];
  readonly env: string[];
  readonly cpus: number;
  readonly memory: number;
  readonly scratch: number;
  readonly label: string[];
  readonly timeout: number;
  readonly json?: boolean;
}

function addDemo(program: Command): void {
  program
    .command('demo')
    .description('index a git repository in a fresh virtual machine, and show what came of it')
    .option('--repo <path>', 'the repository; default: this one')
    .option('--root <dir>', 'the directory of it to index; default: its top, or `packages/base` of this one')
    .option('--commit <rev>', 'the commit', 'HEAD')
    .option('--json', 'print one JSON object as the last line of stdout')
    .action(async (options: { repo?: string; root?: string; commit: string; json?: boolean }) => {
      const { demoCommand } = await import('./demo/command.ts');
      const report = await demoCommand(context, options, note);
      const { asJson, block } = await import('./demo/report.ts');
      if (options.json) printJson(asJson(report));
      else process.stdout.write(`\n${block(report)}\n`);
    });
}

function tiers(value: string, before: Tier[]): Tier[] {
  const parsed = tierSchema.safeParse(value);
  if (!parsed.success) throw new InvalidArgumentError(`It is one of: ${tierSchema.options.join(', ')}.`);
  return [...new Set([...before, parsed.data])];
}

function variables(value: string, before: string[]): string[] {
  if (!/^[^=\0]+=[^\0]*$/.test(value)) throw new InvalidArgumentError('It has the form NAME=VALUE.');
  return [...before, value];
}

function labels(value: string, before: string[]): string[] {
  const parsed = labelsSchema.safeParse([...before, value]);
  if (!parsed.success)
    throw new InvalidArgumentError('It has the form NAME or NAME=VALUE; at most 32 of them.');
  return parsed.data;
}

function number(least: number, most: number): (value: string) => number {
  return (value) => {
    const parsed = Number(value);
    if (!/^\d+$/.test(value) || parsed < least || parsed > most)
      throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
    return parsed;
  };
}
