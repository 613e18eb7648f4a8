import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { FumehoodError } from '@fumehood/base';
import { type Client, openClient } from '../client.ts';
import { instanceNotNamed, jobFailed } from '../errors.ts';
import { archiveDirectory } from '../workspace/archive.ts';
import { executeJob } from './execute.ts';

// The types of this file are published as they are, so none of them comes from another file.

/** An isolation tier, strongest first. */
export type Tier = 'vm-hardware' | 'vm-pvm' | 'vm-emulated' | 'container';

/** What `run` runs, where, and how. */
export interface RunOptions {
  /** An image of a registry (`debian:12`), or an archive as `docker save` writes it (`docker-archive:FILE`). */
  readonly image: string;
  /** The arguments that replace the image's Cmd; by default that one. */
  readonly command?: readonly string[];
  /** A directory in a copy of which the command starts, without `.git`. */
  readonly dir?: string;
  /** What the command reads on stdin. */
  readonly stdin?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly env?: Readonly<Record<string, string>>;
  /** The address of the instance; default: `FUMEHOOD_URL`. */
  readonly url?: string;
  /** An access token with the scopes `jobs:read` and `jobs:write`; default: `FUMEHOOD_TOKEN`. */
  readonly token?: string;
  /** The tiers in which the command may run; default: `['vm-hardware']`. */
  readonly accept?: readonly Tier[];
  readonly cpus?: number;
  readonly memoryMiB?: number;
  readonly scratchMiB?: number;
  /** Wall time of the command, ms. */
  readonly deadlineMs?: number;
  /** Cancels the job when it is aborted. `run` rejects with its reason when the VM is gone. */
  readonly signal?: AbortSignal;
  /** Gets output as it comes; the next part waits for the returned promise. If it rejects, the job is canceled. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void | Promise<void>;
}

/** A command that has ended by itself, with any exit code. */
export interface RunResult {
  readonly exitCode: number;
  /** All output as UTF-8; empty with `onOutput`. */
  readonly stdout: string;
  readonly stderr: string;
  /** Whether the instance dropped a part of the output, because there was too much. */
  readonly isIncomplete: boolean;
  readonly job: JobFacts;
}

/** The record of a job. */
export interface JobFacts {
  readonly id: number;
  readonly state: string;
  readonly attempt: number;
  readonly executor: string | null;
  readonly tier: Tier | null;
  readonly vmm: string | null;
  readonly exitCode: number | null;
  /** Times as ISO 8601. */
  readonly queuedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** What was left on the executor's machine, by kind. */
  readonly leftOver: Readonly<Record<string, number>> | null;
}

/**
 * Runs a command in a fresh VM and resolves when it has ended, whatever its exit code is. Rejects with a `FumehoodError` when it did not
 * end by itself: `no_executor`, `deadline`, `memory`, `step_not_started` and other reasons of failed jobs; `instance_unreachable`,
 * `unauthorized` and other errors of the instance; with the reason of `signal` when that is aborted; and with the error of `onOutput`.
 */
export async function run(options: RunOptions): Promise<RunResult> {
  const { url = process.env.FUMEHOOD_URL, token = process.env.FUMEHOOD_TOKEN, signal } = options;
  if (!url || token === undefined) throw instanceNotNamed(url ? 'token' : 'url');
  signal?.throwIfAborted();
  const client = openClient({ url, token });
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const { command = [], dir, env = {}, onOutput, stdin } = options;
  const { accept = ['vm-hardware'], cpus, memoryMiB, scratchMiB, deadlineMs } = options;
  const archive = dir === undefined ? null : await sendDirectory(client, dir);
  const executed = await executeJob(client, {
    job: {
      queue: 'runs',
      image: await sendImage(client, options.image),
      argv: [...command],
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      stdin: stdin !== undefined,
      workspace: archive === null ? null : { archive },
      accept: [...accept],
      ...{ cpus, memoryMiB, scratchMiB, deadlineMs },
    },
    stdin: stdin === undefined ? null : bytesOf(stdin),
    output: onOutput ?? ((stream, bytes) => void kept[stream].push(bytes)),
    signal: signal ?? new AbortController().signal,
    note: () => {},
  });
  const { job, cannotRun, isIncomplete } = executed;
  signal?.throwIfAborted();
  if (cannotRun) throw new FumehoodError({ code: 'no_executor', ...cannotRun });
  const isOwnEnd = job.state === 'completed' || job.failure?.reason === 'step_failed';
  if (!isOwnEnd || job.exitCode === null) throw jobFailed(job.id, job.state, job.failure);
  const text = (parts: readonly Buffer[]) => Buffer.concat(parts).toString('utf8');
  return { exitCode: job.exitCode, stdout: text(kept.stdout), stderr: text(kept.stderr), isIncomplete, job };
}

async function sendDirectory(client: Client, directory: string): Promise<string> {
  const archive = await archiveDirectory(directory);
  const { digest, size } = archive;
  if (!(await client.hasBlob(digest))) await client.putBlob(digest, archive.open(), size);
  return digest;
}

/** Sends an archive that the instance does not have. Returns the name of the image for the job. */
async function sendImage(client: Client, image: string): Promise<string> {
  const scheme = 'docker-archive:';
  if (!image.startsWith(scheme)) return image;
  const file = image.slice(scheme.length);
  const hash = createHash('sha256');
  for await (const part of createReadStream(file)) hash.update(part as Buffer);
  const digest = `sha256:${hash.digest('hex')}`;
  if (!(await client.hasBlob(digest)))
    await client.putBlob(digest, createReadStream(file), (await stat(file)).size);
  return digest;
}

function bytesOf(stdin: NonNullable<RunOptions['stdin']>): AsyncIterable<Uint8Array> {
  if (typeof stdin === 'string') return Readable.from([Buffer.from(stdin)]);
  return stdin instanceof Uint8Array ? Readable.from([stdin]) : stdin;
}
