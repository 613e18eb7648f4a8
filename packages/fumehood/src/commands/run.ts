import type { Client } from '@fumehood/client';
import type { EgressPolicy, RunWorkspace, Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, type CommandContext, commandContext, connectChosen } from '../cli/context.ts';
import { brokerNames, egressPolicy, integer, labels, secretNames, tiers, variables } from '../cli/options.ts';
import { usage } from '../errors.ts';
import { note, printJson, printResult, writeOutput, writeTerminal } from '../cli/print.ts';

interface RunOptions extends ClientOptions {
  readonly stdin: boolean;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly detach?: boolean;
  readonly accept: Tier[];
  readonly env?: string[];
  readonly secret?: string[];
  readonly cpus: number;
  readonly memory: number;
  readonly scratch: number;
  readonly network: EgressPolicy;
  readonly broker?: string[];
  readonly label?: string[];
  readonly timeout: number;
  readonly stopTimeout: number;
  readonly dir?: string;
  readonly repo?: string;
  readonly commit?: string;
  readonly out?: string[];
  readonly outDir: string;
}

/** Adds `fumehood run`. */
export function addRun(program: Command): Command {
  return program
    .command('run')
    .description('run a command in a fresh VM, and exit with its exit code')
    .argument(
      '<image>',
      'REGISTRY/NAME[:TAG], NAME:TAG, oci:DIR[:REF], docker-archive:FILE, or an image that comes with Fumehood',
    )
    .argument('[command...]', 'the command, after `--`; default: the command of the image')
    .addOption(
      new Option('--accept <tier>', 'also accept this tier of isolation (repeatable)')
        .argParser(tiers)
        .default(['vm-hardware'], 'vm-hardware only'),
    )
    .option('--dir <path>', 'start the command in a copy of this directory, without what git ignores')
    .addOption(
      new Option('--repo <name>', 'start the command in a repository of the instance, at --commit').conflicts(
        'dir',
      ),
    )
    .option('--commit <id>', 'the commit of --repo: 40 hexadecimal digits')
    .option(
      '--out <path>',
      'bring back this file or directory when the command has ended, also if it failed (repeatable)',
      (path: string, before: string[] | undefined) => [...(before ?? []), path],
    )
    .option('--out-dir <path>', 'the directory to which --out writes', '.')
    .option('-e, --env <name=value>', 'set an environment variable (repeatable)', variables)
    .option(
      '--secret <name>',
      'set an environment variable to the secret of this name, see `fumehood secrets` (repeatable)',
      secretNames,
    )
    .option('--cpus <n>', 'number of CPUs', integer(1, 64), 1)
    .option('--memory <MiB>', 'size of the memory', integer(128, 2 ** 20), 1024)
    .option('--scratch <MiB>', 'size of the writable disk', integer(64, 2 ** 20), 4096)
    .addOption(
      new Option(
        '--network <policy>',
        'what the command may reach: none, public, learn, or allow:HOST[:PORT],… with *.NAME for all below a name',
      )
        .argParser(egressPolicy)
        .default({ mode: 'none' }, 'none'),
    )
    .option(
      '--broker <name>',
      'let the command use this entry of the broker, see `fumehood broker` (repeatable)',
      brokerNames,
    )
    .option('--label <label>', 'run only on an executor with this label (repeatable)', labels)
    .option('--timeout <seconds>', 'ask the command to end after this time', integer(1, 86_400), 3600)
    .option(
      '--stop-timeout <seconds>',
      'kill the command when it still runs this long after the signal that asks it to end (at --timeout, or Ctrl-C)',
      integer(0, 300),
      10,
    )
    .option(
      '--no-stdin',
      'leave stdin alone, which the command reads otherwise: for a loop of the shell that reads it',
    )
    .option('-i, --interactive', 'the command reads stdin also if that is a terminal')
    .addOption(
      new Option(
        '-t, --tty',
        'the command has this terminal: every key goes to it, Ctrl-C among them; three times Ctrl-C in a second cancel the job',
      ).conflicts(['detach', 'json', 'stdin', 'tokenStdin']),
    )
    .option('-d, --detach', 'print the number of the job and exit; the command has no stdin')
    .option(
      '--json',
      'print the job as a JSON object on the last line of stdout, before it the progress of sending the image, and the output on stderr',
    )
    .addHelpText(
      'after',
      [
        '',
        'Exit codes that are not those of the command:',
        '  2    an argument is wrong',
        '  3    no connected executor can run the job',
        '  4    the command succeeded, but a part of its output is missing, or of what --out names',
        '  124  the time is over',
        '  125  the job failed for another reason',
        '  130  interrupted',
        '  137  out of memory',
        '  141  nobody reads the output any more',
        'The job is canceled when this command gets a signal, or its terminal is closed. With --detach it goes on.',
      ].join('\n'),
    )
    .action(run);
}

async function run(image: string, command: string[], options: RunOptions): Promise<void> {
  const { checkImage, parseImage, provideImage, withPlainImage } = await import('../run/image.ts');
  const { progressLines } = await import('../run/progress.ts');
  const { incompleteCode, runCommand } = await import('../run/run.ts');
  const { json } = options;
  const { fetchArtifacts, parseArtifactPaths } = await import('../run/artifacts.ts');
  const artifacts = parseArtifactPaths(options.out ?? []);
  if ((options.repo === undefined) !== (options.commit === undefined))
    throw usage('--repo and --commit need each other', 'Give both, or neither.');
  const terminal = options.tty ? (await import('../run/terminal.ts')).openTerminal(process) : null;
  const context = commandContext();
  const parsed = parseImage(image);
  const chosen = await connectChosen(options);
  const progress = json
    ? (sent: object) => printJson({ event: 'sending_image', ...sent })
    : progressLines(note);
  const { client, digest } = await withPlainImage(parsed, context.state, async (plain) => {
    await checkImage(plain, note);
    const connected = chosen ?? (await start(context));
    return {
      client: connected,
      digest: await provideImage(connected, plain, context.state, { line: note, progress }),
    };
  });
  const env: string[] = [...(terminal?.environment ?? []), ...(options.env ?? [])];
  const wantsStdin = options.tty || options.interactive || !process.stdin.isTTY;
  const takesStdin = options.stdin && !options.detach && !options.tokenStdin && wantsStdin;
  const request = {
    queue: 'runs',
    image: digest,
    argv: command,
    env,
    secrets: options.secret ?? [],
    stdin: takesStdin,
    workspace: await workspaceOf(client, options),
    artifacts,
    // Another attempt would get what was typed once more, all at once.
    ...(terminal && { terminal: terminal.size, maxResets: 0 }),
    network: options.network,
    broker: options.broker ?? [],
    accept: options.accept,
    cpus: options.cpus,
    memoryMiB: options.memory,
    scratchMiB: options.scratch,
    labels: options.label ?? [],
    deadlineMs: options.timeout * 1000,
    stopGraceMs: options.stopTimeout * 1000,
  } as const;
  if (options.detach) {
    const made = await client.createJob(request);
    printResult(options, made, [String(made.id)]);
    note(
      `job ${made.id} goes on: \`fumehood jobs logs --follow ${made.id}\` shows its output, \`fumehood jobs cancel ${made.id}\` ends it`,
    );
    return;
  }
  const { job, code } = await runCommand(client, {
    job: request,
    stdin: takesStdin ? (terminal?.stdin ?? process.stdin) : null,
    output: (stream, bytes) =>
      terminal && stream === 'stdout' ? writeTerminal(bytes) : writeOutput(json ? 'stderr' : stream, bytes),
    note,
  });
  if (options.network.mode === 'learn')
    note(`\`fumehood jobs policy ${job.id}\` prints the smallest policy that allows what it was allowed`);
  const isWhole =
    artifacts.length === 0 ||
    job.state === 'canceled' ||
    (await fetchArtifacts(client, job.id, artifacts, options.outDir, note));
  if (json) printJson(job);
  process.exitCode = code === 0 && !isWhole ? incompleteCode : code;
}

/** Returns the workspace that the options ask for, once the instance has it. Errors: those of `sendDirectory`. */
async function workspaceOf(client: Client, { dir, repo, commit, json }: RunOptions): Promise<RunWorkspace> {
  if (repo !== undefined && commit !== undefined) return { repository: repo, commit };
  if (dir === undefined) return null;
  const { sendDirectory } = await import('../run/directory.ts');
  const { progressLines } = await import('../run/progress.ts');
  const progress = json
    ? (sent: object) => printJson({ event: 'sending_directory', ...sent })
    : progressLines(note, 'directory', 1_000);
  return { archive: await sendDirectory(client, dir, { line: note, progress }) };
}

/** Returns a client of the instance of the state directory, which is started unless it runs. */
async function start(context: CommandContext): Promise<Client> {
  const { readyClient } = await import('../up/running.ts');
  // The executor that runs may have another VMM than the one that the environment asks for.
  const ready = context.environment.FUMEHOOD_VMM === undefined ? await readyClient(context.state) : null;
  if (ready) return ready;
  const { bringUp } = await import('../up/up.ts');
  return await bringUp(context);
}
