import type { Clock } from '@glovebox/base';
import { tarEnd, tarHeader, tarPadding } from '@glovebox/disk';
import { relativePathSchema } from '@glovebox/protocol';
import { jobRefused } from '../../errors.ts';
import { refuseCredentials } from '../../upload/credentials.ts';
import { openFile } from '../../uplink/files.ts';
import type { JobClient } from '../../uplink/job.ts';
import type { RunnableJob } from './plan.ts';

/** Of one file, and of all of a job, in bytes. */
const fileMax = 64 * 2 ** 20;
const allMax = 256 * 2 ** 20;
const countMax = 10_000;

type JobFiles = Pick<RunnableJob, 'files' | 'secrets'>;

/** Errors: `job_refused` for a path that is not below the workspace or not possible beside the others, and for too many. */
export function checkFiles(files: RunnableJob['files']): void {
  const paths = Object.keys(files);
  if (paths.length > countMax)
    throw jobRefused(`it has ${paths.length} extra files`, `Give it ${countMax} at most.`);
  for (const path of paths) {
    const told = JSON.stringify(path).slice(0, 200);
    if (path === '' || !relativePathSchema.safeParse(path).success)
      throw jobRefused(`its file ${told} is not below the workspace`, 'Name one inside of it.');
    if (parentsOf(path).some((parent) => parent in files))
      throw jobRefused(`its file ${told} is below another file`, 'Give it another name.');
  }
}

/**
 * The files that a job brings as a tar, those of the files route fetched with its token, one after the other. `entries` counts
 * what was written. Errors: `job_refused`, `upload_step_refused` for one that holds a credential, and those of the uplink.
 */
export function filesTar(
  { files, secrets }: JobFiles,
  client: JobClient,
  clock: Clock,
): { readonly bytes: AsyncIterable<Uint8Array>; entries(): number } {
  let entries = 0;
  const bytes = async function* () {
    const made = new Set<string>();
    let left = allMax;
    for (const [path, { content, bucket, key, modifiedAt }] of Object.entries(files)) {
      const source = content ? [content] : await openFile(client, bucket, key);
      const body = await allOf(source, Math.min(left, fileMax));
      refuseCredentials({ [path]: body }, secrets);
      left -= body.length;
      const given = Math.floor(Date.parse(modifiedAt) / 1000);
      const mtime = given > 0 ? given : Math.floor(clock.now() / 1000);
      const facts = { uid: 0, gid: 0, mtime };
      for (const parent of parentsOf(path)) {
        if (made.has(parent)) continue;
        made.add(parent);
        entries += 1;
        yield tarHeader({ path: parent, type: 'directory', size: 0, mode: 0o777, ...facts });
      }
      entries += 1;
      yield tarHeader({ path, type: 'file', size: body.length, mode: 0o666, ...facts });
      yield body;
      yield tarPadding(body.length);
    }
    yield tarEnd();
  };
  return { bytes: bytes(), entries: () => entries };
}

async function allOf(
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  max: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > max) throw jobRefused('its extra files are too big', 'Put them into the repository.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `a`, `a/b` for `a/b/c`. */
function parentsOf(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}
