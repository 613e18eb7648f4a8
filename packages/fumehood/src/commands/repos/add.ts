import { counted } from '@fumehood/base';
import type { SetRepository } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { integer, jsonOption, repositorySource, storedRepository } from '../../cli/options.ts';
import { note, printDone } from '../../cli/print.ts';
import { usage } from '../../errors.ts';
import { readSecretText } from '../../target/secret.ts';
import { nameOfUrl } from '../../repos/name-of-url.ts';
import { openHistory } from '../../repos/local-history.ts';
import { sendHistory } from '../../repos/send-history.ts';
import { untilSynced } from '../../repos/until-synced.ts';

interface AddOptions extends ClientOptions {
  readonly name?: string;
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly every: number;
  readonly wait: boolean;
}

/** Longest accepted password, bytes. */
const passwordMax = 16_384;

/** Adds `fumehood repos add`. */
export function addReposAdd(repos: Command): void {
  repos
    .command('add')
    .description('mirror a repository from now on, or change where from')
    .argument(
      '<url|path>',
      'URL of the repository: git over https or http; or its directory on this machine, whose branch is sent now',
      repositorySource,
    )
    .option(
      '--name <name>',
      'its name on the instance; default: host and path of the URL, or local/DIRECTORY',
      storedRepository,
    )
    .option('--username <name>', 'user for the git server')
    .option('--password-stdin', 'read the password, or an access token of the git server, from stdin')
    .addOption(
      new Option('--every <seconds>', 'time between two syncs')
        .default(300)
        .argParser(integer(10, 2_592_000)),
    )
    .option('--no-wait', 'do not wait for the first sync')
    .addOption(jsonOption())
    .action(add);
}

async function add(source: ReturnType<typeof repositorySource>, options: AddOptions): Promise<void> {
  if ('path' in source) return await addLocal(source.path, options);
  const { url } = source;
  const { username, passwordStdin, tokenStdin, every, wait } = options;
  if ((username === undefined) !== (passwordStdin === undefined))
    throw usage(
      'a credential has a user and a password',
      'Give both --username and --password-stdin, or none.',
    );
  if (passwordStdin && tokenStdin)
    throw usage(
      '--password-stdin and --token-stdin both read stdin',
      'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const name = options.name ?? nameOfUrl(url);
  const client = await connect(options);
  const repository: SetRepository = { url, intervalSeconds: every };
  if (username !== undefined) {
    repository.username = username;
    repository.password = await readSecretText(process.stdin, 'password', passwordMax, note);
  }
  const added = await client.repositories.set(name, repository);
  const shown = wait ? await untilSynced(client, added) : added;
  printDone(
    options,
    shown,
    wait
      ? `${name} is mirrored: ${counted(shown.branches, 'branch', 'branches')}, ${counted(shown.tags, 'tag')}, at ${shown.commit?.slice(0, 12) ?? 'no commit'}`
      : `${name} will be mirrored`,
  );
}

/** Adds a repository of this machine, and sends the history of its branch. */
async function addLocal(path: string, options: AddOptions): Promise<void> {
  if (options.username !== undefined || options.passwordStdin)
    throw usage(
      'a directory of this machine has no credential',
      'Give its URL, or leave --username and --password-stdin out.',
    );
  const local = await openHistory(path);
  const name = options.name ?? local.name;
  const client = await connect(options);
  await client.repositories.set(name, { url: null });
  const sent = await sendHistory(client, name, local, 'whole');
  printDone(
    options,
    sent,
    `${name} is at ${local.commit.slice(0, 12)}; \`fumehood repos sync ${name} ${path}\` sends what is new`,
  );
}
