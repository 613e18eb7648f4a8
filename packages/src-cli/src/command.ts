import type { Clock } from '@fumehood/base';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { addBatch } from './batch-command.ts';
import { readSettings } from './settings.ts';
import { sendIndex } from './upload.ts';

interface Flags {
  readonly file: string;
  readonly repo: string;
  readonly commit: string;
  readonly root: string;
  readonly indexer?: string;
  readonly indexerVersion?: string;
  readonly associatedIndexId: number;
  readonly uploadRoute: string;
  readonly maxPayloadSize: number;
  readonly maxConcurrency: number;
  readonly json?: boolean;
}

/** Returns the parts of upstream's `src` command that executors use. As in upstream's, flags may have one dash or two. */
export function makeCommand(deps: {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly version: string;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly print: (line: string) => void;
}): Command {
  const { environment, clock, version, print } = deps;
  const program = new Command('src').exitOverride();
  program
    .command('version')
    .description('print the version')
    .action(() => print(`Current version: ${version}`));
  addBatch(program, deps);
  program
    .command('code-intel')
    .description('code intelligence')
    .command('upload')
    .description('upload a SCIP index')
    .option('--file <path>', 'the index file', 'index.scip')
    .requiredOption('--repo <name>', 'name of the repository on the instance')
    .requiredOption('--commit <hash>', 'the commit (40 hexadecimal digits)')
    .option('--root <path>', 'the indexed directory, relative to the root of the repository', '')
    .option('--indexer <name>', 'name of the indexer; default: from the index')
    .option('--indexerVersion <version>', 'version of the indexer; default: from the index')
    .option('--associated-index-id <id>', "id of the job's record", wholeNumber, -1)
    .option('--upload-route <path>', 'upload route of the instance', route, '/.api/scip/upload')
    .option(
      '--max-payload-size <MB>',
      'largest part, from 25: a larger gzipped index is sent in parts',
      megabytes,
      100,
    )
    .option(
      '--max-concurrency <count>',
      'how many parts are sent at once, each of them in memory',
      positive,
      2,
    )
    .option('--no-progress', 'accepted for compatibility: there is no progress output')
    .option('--json', 'print one JSON object')
    .action(async (flags: Flags) => {
      const settings = readSettings(environment);
      const { file, repo, commit } = flags;
      const { id, ...done } = await sendIndex(
        settings,
        {
          file,
          repository: repo,
          commit,
          root: flags.root,
          indexer: flags.indexer ?? null,
          indexerVersion: flags.indexerVersion ?? null,
          associatedIndexId: flags.associatedIndexId,
          route: flags.uploadRoute,
          maxPayloadBytes: flags.maxPayloadSize * 1_000_000,
          maxConcurrency: flags.maxConcurrency,
        },
        clock,
      );
      const graphqlId = Buffer.from(`SCIPUpload:${id}`)
        .toString('base64')
        .replaceAll('+', '-')
        .replaceAll('/', '_');
      const uploadUrl = `${settings.endpoint.origin}/${repo}/-/code-intelligence/uploads/${graphqlId}`;
      if (flags.json) print(JSON.stringify({ repo, commit, ...done, file, uploadId: id, uploadUrl }));
      else
        print(
          `Uploaded ${file} of ${done.indexer} ${done.indexerVersion} for ${repo} as ${id}\n${uploadUrl}`,
        );
    });
  return program;
}

/** Returns the arguments with two dashes for every flag. A value that begins with a dash needs the form `-flag=value`. */
export function withTwoDashes(args: readonly string[]): string[] {
  return args.map((arg) => (/^-[A-Za-z][A-Za-z-]+(=|$)/.test(arg) ? `-${arg}` : arg));
}

/** Returns the exit code of an error: 2 for wrong usage, 0 for help, 1 for everything else. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError)) return 1;
  return error.exitCode === 0 ? 0 : 2;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

/** As in upstream's client. */
function megabytes(text: string): number {
  const value = wholeNumber(text);
  if (value < 25) throw new InvalidArgumentError('It must be at least 25 (MB).');
  return value;
}

function positive(text: string): number {
  const value = wholeNumber(text);
  if (value < 1) throw new InvalidArgumentError('It must be at least 1.');
  return value;
}

function route(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('It must begin with a slash.');
  return text.replace(/\?.*$/s, '');
}
