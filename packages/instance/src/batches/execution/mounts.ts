import { posix } from 'node:path';
import type { Step } from '@fumehood/batch-spec';
import { stepFilesMax } from '@fumehood/protocol';
import { mountMissing, stepInvalid } from '../errors.ts';

/** A file that was sent for a batch spec. `path`: from the directory of the batch spec. */
export interface SentFile {
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
}

/** A file at an absolute path of a step. */
export interface MountedFile {
  readonly target: string;
  readonly digest: string;
}

/**
 * Returns the files that a step (from 0) mounts: one file, or all files of a directory below the mount point. Errors: `batch_mount_missing`,
 * `batch_step_invalid` for a path that leads out of the directory of the batch spec, and for a mount point that is not absolute.
 */
export function mountedFiles(step: Step, at: number, sent: readonly SentFile[]): MountedFile[] {
  return (step.mount ?? []).flatMap(({ path, mountpoint }) => {
    const from = posix.normalize(path).replace(/\/$/, '');
    if (posix.isAbsolute(from) || from === '..' || from.startsWith('../'))
      throw stepInvalid(at, `${path} is not below the directory of the batch spec`);
    if (!posix.isAbsolute(mountpoint))
      throw stepInvalid(at, `the mount point ${mountpoint} is no absolute path`);
    const file = sent.find((one) => one.path === from);
    if (file) return [{ target: posix.normalize(mountpoint), digest: file.digest }];
    const directory = from === '.' ? '' : `${from}/`;
    const below = sent.filter((one) => one.path.startsWith(directory));
    if (below.length === 0) throw mountMissing(path);
    return below.map((one) => ({
      target: posix.join(mountpoint, one.path.slice(directory.length)),
      digest: one.digest,
    }));
  });
}

/** Checks that all steps can be given their files. Errors: `batch_mount_missing`, `batch_step_invalid`. */
export function checkFiles(steps: readonly Step[], sent: readonly SentFile[]): void {
  for (const [at, step] of steps.entries()) {
    const own = Object.keys(step.files ?? {});
    const count = mountedFiles(step, at, sent).length + own.length;
    if (count > stepFilesMax)
      throw stepInvalid(at, `it has ${count} files, of ${stepFilesMax} that it may have`);
    for (const path of own)
      if (!posix.isAbsolute(path)) throw stepInvalid(at, `the file ${path} has no absolute path`);
  }
}
