import {
  type BrokerKind,
  brokerHeaderSchema,
  brokerKindSchema,
  brokerMethodSchema,
  brokerUrlSchema,
  type QueueName,
  type SetBroker,
} from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { brokerName, integer, jsonOption, parsed, queues } from '../../cli/options.ts';
import { note, printDone } from '../../cli/print.ts';
import { usage } from '../../errors.ts';
import { readSecretText } from '../../target/secret.ts';

interface AddOptions extends ClientOptions {
  readonly kind: BrokerKind;
  readonly host?: string[];
  readonly method?: string[];
  readonly username?: string;
  readonly header?: string;
  readonly secretStdin?: boolean;
  readonly maxSize?: number;
  readonly queue?: QueueName[];
  readonly repo?: string[];
}

/** Longest accepted secret, bytes. */
const secretMax = 16_384;
const list = (text: string, before: string[] = []) => [...before, text];

/** Adds `fumehood broker add`. */
export function addBrokerAdd(broker: Command): void {
  broker
    .command('add')
    .description('have jobs reach a server through the broker, with a credential that no guest gets')
    .argument('<name>', 'name of the entry: steps find it at NAME.broker.internal', brokerName)
    .argument(
      '<url>',
      'https://HOST[:PORT]/PATH/: only what is below this path is reached',
      parsed(brokerUrlSchema),
    )
    .addOption(
      new Option('--kind <kind>', 'npm, pypi (the URL is that of the index), http, or git')
        .argParser(parsed(brokerKindSchema))
        .makeOptionMandatory(),
    )
    .option(
      '--host <url>',
      'https://HOST[:PORT] that answers may lead to, without the credential (repeatable)',
      list,
    )
    .option(
      '--method <method>',
      'a method that an entry of the kind http takes (repeatable); default: GET, HEAD',
      list,
    )
    .option('--username <name>', 'the credential is basic, and this is its user')
    .option('--header <name>', 'the secret is the whole value of this field', parsed(brokerHeaderSchema))
    .option('--secret-stdin', 'read the password, or the value of --header, from stdin')
    .option('--max-size <MiB>', 'largest answer; default: 2048', integer(1, 65_536))
    .option('--queue <queue>', 'give it only to jobs of this queue (repeatable); default: all', queues)
    .option('--repo <name>', 'give it only to jobs with this repository (repeatable); default: all', list)
    .addOption(jsonOption())
    .action(add);
}

async function add(name: string, url: string, options: AddOptions): Promise<void> {
  const { kind, host, method, username, header, secretStdin, maxSize, queue, repo, tokenStdin } = options;
  const hasCredential = username !== undefined || header !== undefined;
  if (hasCredential !== (secretStdin === true))
    throw usage(
      hasCredential ? 'the secret is missing' : '--secret-stdin needs to know what the secret is for',
      hasCredential ? 'Give it on stdin, and add --secret-stdin.' : 'Add --username or --header.',
    );
  if (secretStdin && tokenStdin)
    throw usage(
      '--secret-stdin and --token-stdin both read stdin',
      'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const secret = secretStdin ? await readSecretText(process.stdin, 'secret', secretMax, note) : null;
  const entry: SetBroker = {
    ...{ kind, url, secret, username: username ?? null, header: header ?? null },
    ...(host && { hosts: host }),
    ...(method && { methods: method.map(parsed(brokerMethodSchema)) }),
    ...(maxSize && { responseMaxMiB: maxSize }),
    ...(queue && { queues: queue }),
    ...(repo && { repositories: repo }),
  };
  const made = await (await connect(options)).broker.set(name, entry);
  printDone(options, made, `jobs reach ${made.url} at ${made.name}.broker.internal`);
}
