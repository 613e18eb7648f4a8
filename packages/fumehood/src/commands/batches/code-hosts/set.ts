import { readFile } from 'node:fs/promises';
import { type CodeHostKind, codeHostKindSchema, codeHostNameSchema } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, parsed } from '../../../cli/options.ts';
import { note, printDone } from '../../../cli/print.ts';
import { usage } from '../../../errors.ts';
import { readSecretText } from '../../../target/secret.ts';

/** Longest token, bytes. */
const tokenMax = 4_096;

/** Adds `fumehood batches code-hosts set`. */
export function addCodeHostsSet(codeHosts: Command): void {
  codeHosts
    .command('set')
    .description('let the instance open changesets on a code host, with an access token that is on stdin')
    .argument('<name>', 'name of the code host', parsed(codeHostNameSchema))
    .argument('<url>', 'address of its pages, such as https://github.com')
    .addOption(
      new Option('--kind <kind>', 'what it is').choices(codeHostKindSchema.options).makeOptionMandatory(),
    )
    .option('--forks', 'make all changesets in forks of the user whose token it is')
    .option('--webhook-secret-file <file>', 'a file with the secret of the webhooks of all its repositories')
    .addOption(jsonOption())
    .action(set);
}

interface SetOptions extends ClientOptions {
  readonly kind: CodeHostKind;
  readonly forks?: boolean;
  readonly webhookSecretFile?: string;
}

async function set(name: string, url: string, options: SetOptions): Promise<void> {
  if (options.tokenStdin)
    throw usage(
      'the token of the code host and --token-stdin are both on stdin',
      'Give the access token of the instance in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const token = await readSecretText(process.stdin, 'token of the code host', tokenMax, note);
  const { kind, forks = false, webhookSecretFile } = options;
  const secret = webhookSecretFile && { webhookSecret: await secretIn(webhookSecretFile) };
  const stored = await (await connect(options)).codeHosts.set(name, { kind, url, token, forks, ...secret });
  printDone(options, stored, `the instance opens changesets in the repositories below ${stored.url}`);
}

/** Reads a secret, without the line break at its end. Errors: `usage`. */
async function secretIn(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    throw usage(
      `the secret of the webhooks cannot be read: ${(error as Error).message}`,
      'Give --webhook-secret-file a file that has it.',
    );
  }
}
