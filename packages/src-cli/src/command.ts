import type { Clock } from '@fumehood/base';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
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
  readonly json?: boolean;
}

/** `src`, as far as executors use it: flags may have one dash or two, as in the command whose place it takes. */
export function makeCommand(deps: {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly version: string;
  readonly print: (line: string) => void;
}): Command {
  const { environment, clock, version, print } = deps;
  const program = new Command('src').exitOverride();
  program
    .command('version')
    .description('say which version this is')
    .action(() => print(`Current version: ${version}`));
  program
    .command('code-intel')
    .description('code intelligence')
    .command('upload')
    .description('upload a SCIP index')
    .option('--file <path>', 'the index', 'index.scip')
    .requiredOption('--repo <name>', 'the repository, by its name on the instance')
    .requiredOption('--commit <hash>', 'the commit, 40 hexadecimal digits')
    .option('--root <path>', 'the directory that was indexed, from the top of the repository', '')
    .option('--indexer <name>', 'what made the index; default: as it says itself')
    .option('--indexerVersion <version>', 'its version; default: as it says itself')
    .option('--associated-index-id <id>', 'the record of the job', wholeNumber, -1)
    .option('--upload-route <path>', 'the route of the instance', route, '/.api/scip/upload')
    .option('--no-progress', 'plain lines only; there are no others')
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
        },
        clock,
      );
      const node = Buffer.from(`SCIPUpload:${id}`)
        .toString('base64')
        .replaceAll('+', '-')
        .replaceAll('/', '_');
      const uploadUrl = `${settings.endpoint.origin}/${repo}/-/code-intelligence/uploads/${node}`;
      if (flags.json) print(JSON.stringify({ repo, commit, ...done, file, uploadId: id, uploadUrl }));
      else
        print(
          `Uploaded ${file} of ${done.indexer} ${done.indexerVersion} for ${repo} as ${id}\n${uploadUrl}`,
        );
    });
  return program;
}

/** Flags with one dash, as their equals with two. A value that begins with a dash needs the form `-flag=value`. */
export function withTwoDashes(args: readonly string[]): string[] {
  return args.map((arg) => (/^-[A-Za-z][A-Za-z-]+(=|$)/.test(arg) ? `-${arg}` : arg));
}

/** 2 for what was typed wrong, 1 for what went wrong, 0 for help. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError)) return 1;
  return error.exitCode === 0 ? 0 : 2;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It is a whole number.');
  return value;
}

function route(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('It begins with a slash.');
  return text.replace(/\?.*$/s, '');
}
