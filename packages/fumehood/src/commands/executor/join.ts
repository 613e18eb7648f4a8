import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { note, type PrintOptions, printDone } from '../../cli/print.ts';
import { usage } from '../../errors.ts';

interface JoinOptions extends PrintOptions {
  readonly token?: string;
  readonly tokenStdin?: boolean;
  readonly caFile?: string;
  readonly proxy?: string;
  readonly foreground?: boolean;
}

/** Adds `fumehood executor join`. */
export function addExecutorJoin(executor: Command): void {
  executor
    .command('join')
    .description('make this machine an executor of an instance elsewhere')
    .argument('<url>', 'address of the instance')
    .option('--token <token>', 'token of `fumehood executors add`, which is valid once and for an hour')
    .option('--token-stdin', 'read the token from stdin')
    .option(
      '--ca-file <file>',
      'PEM file of certificate authorities to trust besides those of the system; default: that of NODE_EXTRA_CA_CERTS',
    )
    .option('--proxy <url>', 'HTTP proxy on the way to the instance; default: that of HTTPS_PROXY')
    .option('--foreground', 'run the executor in the foreground, not as a service of systemd')
    .addOption(jsonOption())
    .action(join);
}

async function join(url: string, options: JoinOptions): Promise<void> {
  const { instanceAddress } = await import('../../target/address.ts');
  const { readAccessToken } = await import('../../target/secret.ts');
  const { routeOf } = await import('../../executor/route.ts');
  const { joinAs } = await import('../../executor/join.ts');
  const { requireUnjoined } = await import('../../executor/record.ts');
  const { readUpstreamVariables } = await import('../../executor/upstream-variables.ts');
  const { becomeExecutor, prepareExecutor } = await import('../../executor/start.ts');
  const address = instanceAddress(url);
  if ((options.token === undefined) === (options.tokenStdin === undefined))
    throw usage('the join token is missing, or given twice', 'Give --token TOKEN, or --token-stdin.');
  const route = routeOf({ url: address, caFile: options.caFile, proxy: options.proxy }, process.env);
  const token = options.token ?? (await readAccessToken(process.stdin, note));
  const context = commandContext();
  if (readUpstreamVariables(context.environment).order !== null)
    throw usage(
      'EXECUTOR_FRONTEND_URL and other variables order an executor of an upstream instance',
      'Unset them to join this instance, or run `fumehood executor start` for that one.',
    );
  const { requireSystemd } = await import('../../systemd/install.ts');
  if (!options.foreground) requireSystemd(context.root, 'executor');
  requireUnjoined(context.state);
  const { tiers } = await prepareExecutor(context);
  if (tiers.length === 0)
    throw usage('this machine can run no virtual machines', '`fumehood doctor` says why, and what to do.');
  const { name, queues, labels } = await joinAs(context, address, token, route);
  const joined = { name, queues, labels, instanceUrl: address };
  if (options.foreground) {
    printDone(options, joined, `this machine is the executor ${name} of ${address}`);
    return await becomeExecutor(context, { accept: [] });
  }
  const { installExecutor } = await import('../../executor/install.ts');
  const unit = await installExecutor(context, name);
  printDone(
    options,
    { ...joined, unit },
    `the instance has heard of the executor ${name}, which runs now and at each boot (${unit})`,
  );
}
