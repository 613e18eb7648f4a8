import { chmodSync, chownSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Identity } from '@fumehood/base';
import type { InstanceConfig } from '../config.ts';
import { sync } from '../durable.ts';
import type { Member } from './archive.ts';

/** Files of an instance that are written aside, in a directory that only this process's user can write. */
export interface StagedFiles {
  /** Writes an image, or a file or a directory of a repository, and syncs it. */
  add(member: Member): Promise<void>;
  /** Puts everything in the place of what the instance has. */
  moveIn(): Promise<void>;
  /** Removes what is left of it. */
  remove(): Promise<void>;
}

/**
 * Opens a directory for files that are to take the place of those in `directories`, which are on the same disk. `owner`: the user of the
 * instance; null: this process's. Nothing is written into a directory that the instance's user owns: it could have put a link there.
 */
export async function stageFiles(
  staging: string,
  directories: InstanceConfig['directories'],
  owner: Identity | null,
): Promise<StagedFiles> {
  await rm(staging, { recursive: true, force: true });
  const blobs = join(staging, 'blobs');
  const repositories = join(staging, 'repositories');
  const made: [path: string, mode: number][] = [];
  const makeDirectory = async (path: string, mode: number) => {
    await mkdir(path, { mode: 0o700 });
    made.push([path, mode]);
  };
  await mkdir(staging, { mode: 0o700 });
  await makeDirectory(blobs, 0o700);
  await makeDirectory(join(blobs, 'sha256'), 0o700);
  await makeDirectory(repositories, owner ? 0o710 : 0o700);
  const places = new Set<string>();
  return {
    async add({ name, path, type, mode, body }) {
      const target = name.kind === 'blob' ? join(blobs, 'sha256', name.hex) : join(staging, path);
      if (name.kind === 'repository' && !places.has(path.split('/')[1] as string)) {
        places.add(path.split('/')[1] as string);
        await makeDirectory(join(repositories, path.split('/')[1] as string), 0o710);
      }
      if (type === 'directory') return await makeDirectory(target, mode & 0o2775);
      await using file = await open(target, 'wx', 0o600);
      for await (const chunk of body) await file.appendFile(chunk);
      if (owner) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode & 0o755);
      await file.sync();
    },
    async moveIn() {
      // From the deepest on: once its owner has a directory, nothing is done below it any more.
      for (const [path, mode] of made.toReversed()) {
        await sync(path);
        if (owner) chownSync(path, owner.uid, owner.gid);
        chmodSync(path, mode); // after chown, which takes the bit for groups away
      }
      for (const [from, to] of [
        [blobs, directories.blobs],
        [repositories, directories.repositories],
      ] as const) {
        await rename(to, `${from}.old`);
        await rename(from, to);
        await sync(dirname(to));
      }
    },
    async remove() {
      await rm(staging, { recursive: true, force: true });
    },
  };
}
