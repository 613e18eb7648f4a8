import type { Client } from '@fumehood/client';
import {
  accessNameSchema,
  type QueueName,
  queueNameSchema,
  type Scope,
  scopeMeaning,
  scopeSchema,
} from '@fumehood/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { State } from '../state/state.ts';
import { choose } from './choose.ts';

/** What these commands need of the program that they are part of. */
export interface AccessDeps {
  state(): State;
  readonly printJson: (value: unknown) => void;
  /** Words for people: a secret is the only thing on stdout. */
  note(line: string): void;
}

interface Json {
  readonly json?: boolean;
}

const dayMs = 86_400_000;
const hourMs = 3_600_000;

/** `fumehood tokens …`, `users …` and `executors …`: who may ask the instance, and for what. */
export function addAccess(program: Command, deps: AccessDeps): void {
  const client = async (): Promise<Client> => {
    const { runningClient } = await import('../up/running.ts');
    return await runningClient(deps.state());
  };
  const shared: Shared = { ...deps, client };
  addTokens(program, shared);
  addUsers(program, shared);
  addExecutors(program, shared);
}

interface Shared extends AccessDeps {
  client(): Promise<Client>;
}

const json = () => new Option('--json', 'print one JSON object on stdout');
const days = () => new Option('--days <n>', 'it ends after so many; else never').argParser(number(1, 3650));
const endAfter = (count: number | undefined) =>
  count === undefined ? null : new Date(Date.now() + count * dayMs).toISOString();

function print(deps: AccessDeps, { json: asJson }: Json, value: unknown, lines: readonly string[]): void {
  if (asJson) deps.printJson(value);
  else process.stdout.write(`${lines.join('\n')}\n`);
}

/** Prints a secret, alone on stdout unless it is to be JSON. */
function printSecret(deps: AccessDeps, { json: asJson }: Json, made: { readonly secret: string }): void {
  if (asJson) deps.printJson(made);
  else process.stdout.write(`${made.secret}\n`);
  deps.note('this is the only time that the secret is shown');
}

function addTokens(program: Command, shared: Shared): void {
  const tokens = program.command('tokens').description('access tokens, for people and programs');
  tokens
    .command('create')
    .description('make an access token, and print its secret')
    .argument('<name>', 'what it is called', accessName)
    .requiredOption('--scope <scope>', 'what it is good for (repeatable)', scopes)
    .option('--user <name>', 'of another user', accessName)
    .addOption(days())
    .addOption(json())
    .addHelpText(
      'after',
      `\nScopes:\n${Object.entries(scopeMeaning)
        .map(([scope, meaning]) => `  ${scope.padEnd(11)} ${meaning}`)
        .join('\n')}`,
    )
    .action(async (name: string, options: Json & { scope: Scope[]; user?: string; days?: number }) => {
      const { scope, user, days: count } = options;
      const wanted = { name, scopes: scope, expiresAt: endAfter(count), ...(user !== undefined && { user }) };
      printSecret(shared, options, await (await shared.client()).access.createToken(wanted));
    });
  tokens
    .command('list')
    .description('your access tokens; everybody’s for an admin')
    .addOption(json())
    .action(async (options: Json) => {
      const all = await (await shared.client()).access.tokens();
      const { tokenLines } = await import('./lines.ts');
      print(shared, options, { tokens: all }, tokenLines(all));
    });
  tokens
    .command('revoke')
    .description('end an access token at once')
    .argument('<name or id>', 'which one')
    .addOption(json())
    .action(async (text: string, options: Json) => {
      const { access } = await shared.client();
      const token = choose('access token', await access.tokens(), text, 'fumehood tokens list');
      await access.revokeToken(token.id);
      done(shared, options, { revoked: token }, `the access token ${token.name} of ${token.user} is revoked`);
    });
}

function addUsers(program: Command, shared: Shared): void {
  const users = program.command('users').description('whom access tokens are of');
  users
    .command('create')
    .description('make a user, whose access tokens you then make with `fumehood tokens create --user`')
    .argument('<name>', 'also the tenant of their jobs', accessName)
    .option('--admin', 'who may make users and the credentials of executors')
    .addOption(json())
    .action(async (name: string, options: Json & { admin?: boolean }) => {
      const user = await (await shared.client()).access.createUser({ name, admin: options.admin ?? false });
      done(shared, options, user, `there is a user ${name} now, without an access token yet`);
    });
  users
    .command('list')
    .description('everybody')
    .addOption(json())
    .action(async (options: Json) => {
      const all = await (await shared.client()).access.users();
      const { userLines } = await import('./lines.ts');
      print(shared, options, { users: all }, userLines(all));
    });
}

function addExecutors(program: Command, shared: Shared): void {
  const executors = program.command('executors').description('who runs jobs, and what they lease with');
  executors
    .command('list')
    .description('the executors that are connected')
    .addOption(json())
    .action(async (options: Json) => {
      const { executors: all } = await (await shared.client()).status();
      const { executorLines } = await import('./lines.ts');
      print(shared, options, { executors: all }, executorLines(all));
    });

  for (const [action, draining, description, words] of [
    ['drain', true, 'have an executor lease nothing more; what runs there goes on', 'leases nothing more'],
    ['resume', false, 'have an executor lease again', 'leases again'],
  ] as const) {
    executors
      .command(action)
      .description(description)
      .argument('<name>', 'which one')
      .addOption(json())
      .action(async (name: string, options: Json) => {
        await (await shared.client()).setDraining(name, draining);
        done(shared, options, { executor: name, draining }, `the executor ${name} ${words}`);
      });
  }

  const credentials = executors.command('credentials').description('what executors lease with');
  const chosen = async (access: Client['access'], text: string) => {
    const list = 'fumehood executors credentials list';
    return choose('credential', await access.credentials(), text, list);
  };
  credentials
    .command('create')
    .description('make a credential, and print its secret')
    .argument('<name>', 'what it is called', accessName)
    .requiredOption('--queue <queue>', 'a queue that its executors may lease from (repeatable)', queues)
    .addOption(days())
    .addOption(json())
    .action(async (name: string, options: Json & { queue: QueueName[]; days?: number }) => {
      const wanted = { name, queues: options.queue, expiresAt: endAfter(options.days) };
      printSecret(shared, options, await (await shared.client()).access.createCredential(wanted));
    });
  credentials
    .command('list')
    .description('the credentials and their good secrets, with when each was used last')
    .addOption(json())
    .action(async (options: Json) => {
      const all = await (await shared.client()).access.credentials();
      const { credentialLines } = await import('./lines.ts');
      print(shared, options, { credentials: all }, credentialLines(all));
    });
  credentials
    .command('rotate')
    .description(
      'make another secret of a credential and print it; the one before is good for a while longer',
    )
    .argument('<name or id>', 'which one')
    .option('--overlap <hours>', 'for how long', number(0, 2160), 24)
    .addOption(json())
    .action(async (text: string, options: Json & { overlap: number }) => {
      const { access } = await shared.client();
      const { id } = await chosen(access, text);
      printSecret(shared, options, await access.rotateCredential(id, options.overlap * hourMs));
    });
  credentials
    .command('revoke')
    .description('end a credential at once, and the jobs of its executors')
    .argument('<name or id>', 'which one')
    .option('--replaced', 'only the secrets that a rotation replaced')
    .addOption(json())
    .action(async (text: string, options: Json & { replaced?: boolean }) => {
      const { access } = await shared.client();
      const credential = await chosen(access, text);
      if (options.replaced) await access.endRotation(credential.id);
      else await access.revokeCredential(credential.id);
      const what = options.replaced ? 'what was replaced of the credential' : 'the credential';
      done(shared, options, { revoked: credential }, `${what} ${credential.name} is revoked`);
    });
}

/** Tells that something was done which leaves nothing to print. */
function done(deps: AccessDeps, { json: asJson }: Json, value: unknown, words: string): void {
  if (asJson) deps.printJson(value);
  else deps.note(words);
}

function accessName(text: string): string {
  const parsed = accessNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

function scopes(text: string, before: Scope[] = []): Scope[] {
  const parsed = scopeSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It is one of: ${scopeSchema.options.join(', ')}.`);
  return [...new Set([...before, parsed.data])];
}

function queues(text: string, before: QueueName[] = []): QueueName[] {
  const parsed = queueNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It is one of: ${queueNameSchema.options.join(', ')}.`);
  return [...new Set([...before, parsed.data])];
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
    return value;
  };
}
