import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { factsOf } from '@fumehood/base';
import type { Guest } from '@fumehood/microvm';
import { artifactBytesMax } from '@fumehood/protocol';
import type { JobClient } from '../../uplink/job-client.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import { writeLine } from './phase.ts';
import { guestPaths } from './prepare-guest.ts';

/** An archive that was taken out of the guest. */
interface Taken {
  readonly path: string;
  readonly file: string;
  readonly bytes: number;
}

/** Codes of a step's end after which its VM is still there, so that what it left, such as a report of failed tests, can be taken out. */
const endsOfCommand = ['step_failed', 'deadline', 'memory'];

/** Whether an error is the end of a command in a VM that goes on. */
export function isEndOfCommand(error: unknown): boolean {
  return endsOfCommand.includes(factsOf(error).code);
}

/**
 * Takes paths of the workspace out of the guest, each as a tar archive in a file of `directory`, all together of at most
 * `artifactBytesMax`. The bytes are stored and interpreted nowhere. Takes the others when one fails, and returns the first error
 * beside them. Calls `inTime` with the wait for each.
 */
export async function takeArtifacts(
  guest: Pick<Guest, 'collect'>,
  paths: readonly string[],
  directory: string,
  log: PhaseLog,
  inTime: <T>(path: string, work: Promise<T>) => Promise<T>,
): Promise<{ readonly taken: readonly Taken[]; readonly failure: unknown }> {
  await mkdir(directory);
  const taken: Taken[] = [];
  let failure: unknown = null;
  let left = artifactBytesMax;
  for (const [index, path] of paths.entries()) {
    const file = join(directory, `${index}.tar`);
    // Init reads as root of the guest: a step may have written as any user.
    const who = { id: `artifact-${index}`, root: guestPaths.workspace, uid: 0, gid: 0 };
    const content = guest.collect({ ...who, path, as: 'archive', maxBytes: left });
    try {
      await inTime(path, pipeline(content, createWriteStream(file, { flags: 'wx', mode: 0o600 })));
    } catch (error) {
      if (!factsOf(error).code.startsWith('artifact_')) throw error;
      await writeLine(log, factsOf(error).message, 'stderr');
      failure ??= error;
      continue;
    }
    const { size: bytes } = await stat(file);
    left -= bytes;
    taken.push({ path, file, bytes });
    await writeLine(log, `took ${path} out of the workspace: ${bytes} bytes`);
  }
  return { taken, failure };
}

/** Sends what was taken out of the guest to the instance. Errors: `lease_lost`, `instance_…`. */
export async function sendArtifacts(
  client: JobClient,
  taken: readonly Taken[],
  signal: AbortSignal,
): Promise<void> {
  for (const { path, file, bytes } of taken)
    await client.artifact(path, () => createReadStream(file, { highWaterMark: 1 << 20 }), bytes, signal);
}
