import type { Clock } from '@fumehood/base';
import { type JobFile, relativePathSchema } from '@fumehood/protocol';
import { fetchJobFile } from '../uplink/fetch-job-file.ts';
import type { JobClient } from '../uplink/job-client.ts';
import { fixedMtime } from './git-index.ts';
import { filesRefused, type WorkspaceFile } from './workspace-file.ts';

/** The limits of a job's files: 10,000 files with 64 MiB in total, because they are held in memory. */
const limits = { files: 10_000, bytes: 64 * 2 ** 20 } as const;
/** The latest time that squashfs can store, in seconds since 1970. */
const latestMtime = 2 ** 32 - 1;

/**
 * Collects the files of a job, sorted by path, and fetches those that the job only names. Errors: `job_refused`, also for a file
 * that contains one of `secrets`; `file_missing`, `too_big`, `instance_…`.
 */
export async function collectJobFiles(
  client: JobClient,
  files: Readonly<Record<string, JobFile>>,
  secrets: readonly string[],
  clock: Clock,
  signal: AbortSignal,
): Promise<WorkspaceFile[]> {
  const entries = Object.entries(files);
  if (entries.length > limits.files)
    throw filesRefused(`there are ${entries.length}, more than ${limits.files}`);
  for (const [path] of entries)
    if (path === '' || !relativePathSchema.safeParse(path).success)
      throw filesRefused(`${JSON.stringify(path.slice(0, 200))} is not a path below the workspace`);
  let left = limits.bytes;
  const collected: WorkspaceFile[] = [];
  for (const [path, file] of entries) {
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

/** Returns the time of the file in seconds, or `fixedMtime` for none: Go writes the year 1 then. */
function mtimeOf({ modifiedAt }: JobFile): number {
  const seconds = Math.floor(Date.parse(modifiedAt) / 1000);
  return seconds > 0 ? Math.min(seconds, latestMtime) : fixedMtime;
}
