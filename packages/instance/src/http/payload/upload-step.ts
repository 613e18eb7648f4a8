import type { DockerStep, NativeJob } from '@fumehood/protocol';
import { credentialScheme } from '../../auth/executor.ts';
import { maxIndexBytes } from '../../codeintel/limits.ts';
import type { JobRow } from '../../queue/job.ts';

/** `src` sends an index in parts when it is larger than this, and the route refuses parts. */
const maxPayloadMB = maxIndexBytes / 2 ** 20;

/** The key of the step that uploads. */
export const uploadStepKey = 'upload';

export interface UploadStep {
  readonly step: DockerStep;
  readonly redactedValues: Record<string, string>;
}

/**
 * Returns the last step of an indexing job for an executor of upstream's kind, which has its steps upload. (Our executors upload from
 * their host.) `token` is valid for this one upload, because every program of the job can read it.
 */
export function uploadStep(
  job: JobRow,
  { file, root }: NonNullable<NativeJob['upload']>,
  token: string,
  where: { readonly url: string; readonly image: string },
): UploadStep {
  const authorization = `${credentialScheme} ${token}`;
  const command = [
    ...['src', 'code-intel', 'upload', '-no-progress'],
    ...['-repo', job.repository, '-commit', job.commit, '-root', root === '' ? '.' : root],
    ...[
      '-upload-route',
      '/.executors/scip/upload',
      '-file',
      root === '' ? file : file.slice(root.length + 1),
    ],
    ...['-associated-index-id', String(job.id), '-max-payload-size', String(maxPayloadMB)],
  ];
  return {
    step: {
      key: uploadStepKey,
      image: where.image,
      commands: [command.map(quote).join(' ')],
      dir: root,
      env: [`SRC_ENDPOINT=${where.url}`, `SRC_HEADER_AUTHORIZATION=${authorization}`],
    },
    redactedValues: { [authorization]: `${credentialScheme} REDACTED`, [token]: 'PASSWORD_REMOVED' },
  };
}

/** Quotes a word for a POSIX shell. */
function quote(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
