import { collect, type Spawn, type SpawnRequest } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import type { GitDirectory } from './git-directory.ts';

/** The result of a git command. */
export interface Answer {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Git on a repository of the user, under the Spawn profile: it sees this repository alone, writes nothing and has no network. */
export interface Git {
  /** Runs a command whose output is small. Errors: `too_big`, `spawn_failed`. */
  run(args: readonly string[], input?: string, maxBytes?: number): Promise<Answer>;
  /** Yields the output of a command; if the command fails, throws the error that `failure` makes of git's messages. */
  stream(
    args: readonly string[],
    input: string,
    failure: (stderr: string) => Error,
  ): AsyncGenerator<Buffer, void>;
}

/** Longest output of a git command that answers a question, bytes. */
const answerMax = 65_536;
/** Time for a command that answers a question, and for a pack, which takes as long as its upload; ms. */
const [questionMs, packMs] = [300_000, 86_400_000];

/** Returns the git of a repository. */
export function gitIn({ directory, directories }: GitDirectory, spawn: Spawn): Git {
  const request = (args: readonly string[], timeMs: number): SpawnRequest => ({
    label: `git ${args[0]}`,
    program: '/usr/bin/git',
    args: ['--git-dir', directory, '--work-tree', '/tmp', ...args], // the working tree is out of sight
    env: gitEnvironment,
    binds: directories.map((path) => ({ source: path, target: path, mode: 'ro' as const })),
    limits: { timeMs, memoryBytes: 0 }, // git maps its packs, which may be larger than the limit
  });
  const textOf = (stream: AsyncIterable<Uint8Array>) =>
    collect(stream, answerMax).then(String, () => 'git wrote too many messages');
  return {
    async run(args, input = '', maxBytes = answerMax) {
      const process = await spawn(request(args, questionMs));
      process.stdin.end(input);
      try {
        const [stdout, stderr] = await Promise.all([
          collect(process.stdout, maxBytes),
          textOf(process.stderr),
        ]);
        const { code, timedOut } = await process.exited;
        const late = `git ${args[0]} took more than ${questionMs / 1000} s`;
        return { code, stdout, stderr: timedOut ? late : stderr };
      } finally {
        process.kill();
      }
    },
    async *stream(args, input, failure) {
      const process = await spawn(request(args, packMs));
      process.stdin.end(input);
      const stderr = textOf(process.stderr);
      try {
        yield* process.stdout;
        if ((await process.exited).code !== 0) throw failure(await stderr);
      } finally {
        process.kill();
      }
    },
  };
}
