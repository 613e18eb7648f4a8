import type { DockerStep, NativeJob } from '@fumehood/protocol';
import { credentialScheme } from '../../auth/executor.ts';
import type { JobRow } from '../../queue/job.ts';

/** The route that takes everything in one request asks for it: no index is sent in parts. */
const largestPayloadMB = 4_096;

export interface UploadStep {
  readonly step: DockerStep;
  readonly redactedValues: Record<string, string>;
}

/**
 * The last step of a job that leaves an index, for an executor of upstream's kind: its own uploads leave through its host, a step
 * of theirs uploads by itself. `token` is good for this one upload, because whatever runs there can read it.
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
    ...['-associated-index-id', String(job.id), '-max-payload-size', String(largestPayloadMB)],
  ];
  return {
    step: {
      key: 'upload',
      image: where.image,
      commands: [command.map(quoted).join(' ')],
      dir: root,
      env: [`SRC_ENDPOINT=${where.url}`, `SRC_HEADER_AUTHORIZATION=${authorization}`],
    },
    redactedValues: { [authorization]: `${credentialScheme} REDACTED`, [token]: 'PASSWORD_REMOVED' },
  };
}

/** A word as a POSIX shell reads it back. */
function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
