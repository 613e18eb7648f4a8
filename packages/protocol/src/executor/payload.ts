import * as z from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { jobIdSchema } from '../values.ts';
import { cliStepSchema, dockerStepSchema, nativeJobSchema } from './job.ts';

/** The two forms of a job on the wire. Only the second has files of bytes, and credentials of registries. */
export type PayloadVersion = 1 | 2;

/** A file that a job brings for its workspace. */
export interface JobFile {
  /** Null: the files route has the file under `bucket` and `key`. */
  readonly content: Uint8Array | null;
  readonly bucket: string;
  readonly key: string;
  /** RFC 3339; the year 1 stands for no time. */
  readonly modifiedAt: string;
}

const noTime = '0001-01-01T00:00:00Z';
const wireFileSchema = z.union([
  z.object({
    content: z.string().default(''),
    bucket: z.string().default(''),
    key: z.string().default(''),
    modifiedAt: z.iso.datetime({ offset: true }).default(noTime),
  }),
  // Instances before 4.1 send the content alone.
  z.string().transform((content) => ({ content, bucket: '', key: '', modifiedAt: noTime })),
]);

const wireJobSchema = z.object({
  version: z.union([z.literal(1), z.literal(2)]).default(1),
  id: jobIdSchema,
  token: z.string().min(1),
  queue: queueNameSchema.optional(),
  /** `''`: the job has no repository. */
  repositoryName: z.string(),
  repositoryDirectory: z.string(),
  commit: z.string(),
  fetchTags: z.boolean(),
  shallowClone: z.boolean(),
  sparseCheckout: z.array(z.string()).nullable(),
  files: z.record(z.string(), wireFileSchema),
  dockerSteps: z.array(dockerStepSchema).nullable(),
  cliSteps: z.array(cliStepSchema).nullable(),
  redactedValues: z.record(z.string(), z.string()).nullable(),
  /** The content of Docker's `config.json`; `auth` is base64 of `user:password`. */
  dockerAuthConfig: z
    .object({ auths: z.record(z.string(), z.object({ auth: z.base64() })).optional() })
    .optional(),
  fumehood: nativeJobSchema.optional(),
});

/** A leased job, in either form of upstream's payload, with our extension in `fumehood`. The output has the path of each file as key. */
export const jobSchema = wireJobSchema.transform(({ version, files, ...job }, context) => {
  const decoded: Record<string, JobFile> = {};
  for (const [path, { content, ...file }] of Object.entries(files)) {
    if (version === 2 && !z.base64().safeParse(content).success) {
      context.addIssue({ code: 'custom', path: ['files', path, 'content'], message: 'must be base64' });
      return z.NEVER;
    }
    const bytes = new Uint8Array(Buffer.from(content, version === 2 ? 'base64' : 'utf8'));
    decoded[path] = { content: file.key === '' ? bytes : null, ...file };
  }
  return { ...job, files: decoded };
});
export type Job = z.infer<typeof jobSchema>;

/**
 * Encodes a job for an executor that understands `version`: upstream's keys in upstream's order, and `null` for missing lists.
 * Errors: `TypeError` for a file that is not text, in version 1.
 */
export function encodeJob(job: Job, version: PayloadVersion): object {
  const { queue, sparseCheckout, dockerSteps, cliSteps, redactedValues, fumehood } = job;
  return {
    ...(version === 2 && { version }),
    id: job.id,
    token: job.token,
    ...(queue !== undefined && { queue }),
    repositoryName: job.repositoryName,
    repositoryDirectory: job.repositoryDirectory,
    commit: job.commit,
    fetchTags: job.fetchTags,
    shallowClone: job.shallowClone,
    sparseCheckout,
    files: Object.fromEntries(
      Object.entries(job.files).map(([path, file]) => [path, encodeFile(path, file, version)]),
    ),
    dockerSteps,
    cliSteps,
    redactedValues,
    ...(version === 2 && { dockerAuthConfig: job.dockerAuthConfig ?? {} }),
    ...(fumehood !== undefined && { fumehood }),
  };
}

function encodeFile(path: string, { content, bucket, key, modifiedAt }: JobFile, version: PayloadVersion) {
  const text = content === null || content.length === 0 ? '' : encodeContent(path, content, version);
  return { ...(text && { content: text }), ...(bucket && { bucket }), ...(key && { key }), modifiedAt };
}

function encodeContent(path: string, content: Uint8Array, version: PayloadVersion): string {
  if (version === 2) return Buffer.from(content).toString('base64');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw new TypeError(`the file ${path} is not text, and this executor takes only text`);
  }
}
