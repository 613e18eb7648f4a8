import type { Clock } from '@fumehood/base';
import { type JobFile, relativePathSchema } from '@fumehood/protocol';
import { jobRefused } from '../errors.ts';
import { fetchJobFile } from '../uplink/fetch-job-file.ts';
import type { JobClient } from '../uplink/job-client.ts';
import { fixedMtime } from './git-index.ts';
import { pathChecker, type TreeEntry } from './commit-tree.ts';

/** A file that the job brings beside the repository. */
export interface WorkspaceFile {
  /** From the top of the workspace: a byte string in `latin1`, like git's. */
  readonly path: string;
  readonly content: Uint8Array;
  /** Seconds since 1970. */
  readonly mtime: number;
}

/** What the files of one job may be together; they are held in memory. */
const limits = { files: 10_000, bytes: 64 * 2 ** 20 } as const;
/** What a disk can say of a time, in seconds. */
const latestMtime = 2 ** 32 - 1;

/**
 * The files of a job with their bytes, in the order of their paths; none of `secrets` is in them. Errors: `job_refused`,
 * `file_missing`, `instance_…`.
 */
export async function collectJobFiles(
  client: JobClient,
  files: Readonly<Record<string, JobFile>>,
  secrets: readonly string[],
  clock: Clock,
  signal: AbortSignal,
): Promise<WorkspaceFile[]> {
  const wanted = Object.entries(files);
  if (wanted.length > limits.files)
    throw filesRefused(`they are ${wanted.length}, and ${limits.files} may be`);
  for (const [path] of wanted)
    if (path === '' || !relativePathSchema.safeParse(path).success)
      throw filesRefused(`${JSON.stringify(path.slice(0, 200))} is not a path below the workspace`);
  let left = limits.bytes;
  const collected: WorkspaceFile[] = [];
  for (const [path, file] of wanted) {
    const content = file.content ?? (await fetchJobFile(client, file, left, clock, signal));
    left -= content.length;
    if (left < 0) throw filesRefused(`they have more than ${limits.bytes} bytes`);
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
    if (secrets.some((secret) => path.includes(secret) || bytes.includes(secret)))
      throw filesRefused('one holds a credential');
    collected.push({ path: Buffer.from(path).toString('latin1'), content, mtime: mtimeOf(file) });
  }
  return collected.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Checks that the files lie beside a commit's, in nobody's way: upstream's executors would write over the commit's file, or
 * through its link. Errors: `job_refused`.
 */
export function checkFilePaths(
  files: readonly WorkspaceFile[],
  tree: readonly Pick<TreeEntry, 'path'>[],
  directory: string,
): void {
  const top = directory === '' ? '' : `${directory}/`;
  const within = files.find(({ path }) => top.startsWith(`${path}/`));
  if (within) throw filesRefused(`${JSON.stringify(within.path)} is the directory of the repository`);
  const paths = [...tree.map(({ path }) => `${top}${path}`), ...files.map(({ path }) => path)];
  const check = pathChecker(filesRefused);
  for (const path of paths.sort((a, b) => (a < b ? -1 : 1))) check(path);
}

/** The year 1 stands for no time. */
function mtimeOf({ modifiedAt }: JobFile): number {
  const seconds = Math.floor(Date.parse(modifiedAt) / 1000);
  return seconds > 0 ? Math.min(seconds, latestMtime) : fixedMtime;
}

function filesRefused(why: string): Error {
  return jobRefused(`of its files, ${why}`, 'Give the job other files, or leave them out.');
}
