import { momentSchema, type PayloadVersion, relativePathSchema } from '@fumehood/protocol';
import * as z from 'zod';
import type { JobContent } from '../queue/kind.ts';

/** The files in the workspace of an executor of upstream's kind. */
const inputFile = 'input.json';
const mountDirectory = 'workspace-files';
/** The key of the one step; its executor writes the log of it into an entry with this key and a prefix. */
const stepKey = 'batch-exec';

/** What `src batch exec` gets, where an executor of upstream's kind runs the steps of a workspace. */
export const batchExecSchema = z.object({
  /** JSON: the attributes of the batch change, the repository, the branch with its commit, the steps, and what is known before. */
  input: z.string(),
  /** What the steps mount, which the files route has under `key`: `<batch spec>/<file>`. */
  files: z.array(z.object({ path: relativePathSchema, key: z.string(), modifiedAt: momentSchema })),
});
export type BatchExec = z.output<typeof batchExecSchema>;

const noTime = '0001-01-01T00:00:00Z';

/** Returns the part of a job that such an executor gets in place of the steps: one command of `src`, which runs containers. */
export function batchExecContent(
  { input, files }: BatchExec,
  version: PayloadVersion,
): Pick<JobContent, 'files' | 'dockerSteps' | 'cliSteps'> {
  const mounts = files.map(({ path, key, modifiedAt }) => [
    `${mountDirectory}/${path}`,
    { content: null, bucket: 'batch-changes', key, modifiedAt },
  ]);
  const command = ['batch', 'exec', '-f', inputFile, '-repo', 'repository', '-tmp', '.src-tmp'];
  // The second payload and diffs of binary files came with the same release.
  if (version === 2) command.push('-binaryDiffs');
  if (files.length > 0) command.push('-workspaceFiles', mountDirectory);
  return {
    files: {
      [inputFile]: { content: Buffer.from(input), bucket: '', key: '', modifiedAt: noTime },
      ...(Object.fromEntries(mounts) as JobContent['files']),
    },
    dockerSteps: [],
    cliSteps: [{ key: stepKey, command, dir: '.', env: [] }],
  };
}
