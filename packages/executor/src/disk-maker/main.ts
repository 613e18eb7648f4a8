import { createReadStream } from 'node:fs';
import { collect, ipcError } from '@fumehood/base';
import { spawnInside, writeDisk } from '@fumehood/disk';
import { gitEnvironment, type Repository, readTree } from '@fumehood/git';
import { writeImageDisk } from '@fumehood/oci';
import { archiveTar } from '../workspace/archive-tar.ts';
import { checkFilePaths, type WorkspaceFile } from '../workspace/workspace-file.ts';
import { workspaceTar } from '../workspace/workspace-tar.ts';
import { toolsTar } from './tools-tar.ts';
import { type DiskAnswer, type DiskRequest, diskRequestSchema, insidePaths } from './messages.ts';

/**
 * Makes one disk from an image archive, from a commit and files, from the archive of a workspace, or from programs of this host, and ends. It runs under the Spawn profile: what it reads is
 * untrusted, and takes time and memory that the process which renews leases must not lose.
 */

/** Largest request: the job's files and a line about each of them, bytes. */
const requestMax = 128 * 2 ** 20;

/** The commit's repository, on which git runs beside this process. */
function repositoryOf({ id, shallow }: { id: string; shallow: boolean }): Repository {
  return {
    packs: `${insidePaths.repository}/objects/pack`,
    commit: id,
    shallow,
    git: (label, args) =>
      spawnInside({
        label,
        program: '/usr/bin/git',
        args: ['--git-dir', insidePaths.repository, ...args],
        env: gitEnvironment,
      }),
  };
}

async function makeWorkspace(
  { commit, directory, sparse, files, archive }: Extract<DiskRequest, { type: 'workspace' }>,
  contents: Buffer,
): Promise<DiskAnswer> {
  if (archive) {
    const tar = archiveTar(createReadStream(insidePaths.archive, { highWaterMark: 1 << 20 }));
    await writeDisk(spawnInside, tar.bytes, insidePaths.disk, () => tar.entries());
    return { type: 'workspace', files: tar.entries() };
  }
  let at = 0;
  const extra = files.map(({ path, mtime, bytes }): WorkspaceFile => {
    at += bytes;
    return { path, mtime, content: contents.subarray(at - bytes, at) };
  });
  const repository = commit && repositoryOf(commit);
  const tree = repository ? await readTree(repository) : [];
  if (extra.length > 0) checkFilePaths(extra, tree, directory);
  const tar = workspaceTar(repository && { repository, tree, directory, sparse }, extra);
  await writeDisk(spawnInside, tar.bytes, insidePaths.disk, () => tar.entries());
  return { type: 'workspace', files: tree.length + extra.length };
}

async function answerTo(input: Buffer): Promise<DiskAnswer> {
  const end = input.indexOf(10);
  const request = diskRequestSchema.parse(JSON.parse(input.toString('utf8', 0, end)));
  if (request.type === 'workspace') return makeWorkspace(request, input.subarray(end + 1));
  if (request.type === 'tools') {
    const tar = await toolsTar(spawnInside);
    await writeDisk(spawnInside, tar.bytes, insidePaths.disk, () => tar.entries());
    return { type: 'tools' };
  }
  const config = await writeImageDisk(spawnInside, insidePaths.archive, insidePaths.disk);
  return { type: 'image', config };
}

const answer = await answerTo(await collect(process.stdin, requestMax)).catch((error: unknown) => ({
  type: 'failed',
  error: ipcError(error),
}));
process.stdout.write(JSON.stringify(answer));
