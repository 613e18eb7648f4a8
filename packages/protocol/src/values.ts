import * as z from 'zod';

/** A number in a path or a query, whose values are text. */
export const numberInText = z.coerce.number('must be a whole number');

/** A job's number: a positive integer, unique over all queues of our instance. */
export const jobIdSchema = z.int().positive();

/** An executor's name, unique on its instance. It is sent in a header, too, so it is ASCII. */
export const executorNameSchema = z
  .string()
  .regex(
    /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/,
    'must be 1 to 200 printable ASCII characters, the first and the last one no blank',
  );

/** A point in time from the year 1 to 9999, with the offset of a time zone that exists: what PostgreSQL and JavaScript both have. */
export const momentSchema = z.iso
  .datetime({ offset: true })
  .refine(
    (text) =>
      Date.parse(text) >= Date.parse('0001-01-01T00:00:00Z') &&
      Date.parse(text) < Date.parse('9999-12-31T00:00:00Z') &&
      /(?:Z|[+-](?:0\d|1[0-4]):\d\d)$/.test(text),
    'must be a time from the year 1 to 9999, with an offset of at most 14 hours',
  );

export const commitSchema = z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 lower-case hexadecimal digits');

/** A repository's name; `POST /api/repositories/{name}/pack` says which characters it may have. */
export const repositoryNameSchema = z.string().min(1).max(400);

/** `sha256:` and 64 hexadecimal digits: the name of a blob on the instance. */
export const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256:<64 hexadecimal digits>');

/** A path below some root: relative, no `..`, no empty part, no NUL. `''` is the root itself. */
export const relativePathSchema = z
  .string()
  .max(4096)
  .refine(
    (path) => path === '' || path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
    'must be a relative path without empty, `.` or `..` parts',
  )
  .refine((path) => !path.includes('\0'), 'must not hold a NUL');

/** A relative path in any spelling, such as `./a//b/` or `a/c/../b`. Its value is the plain one, `a/b`; `..` may not lead out. */
export const anyRelativePathSchema = z.string().max(4096).overwrite(plainPath).pipe(relativePathSchema);

/** Most paths that a job may have the executor bring back. */
const artifactsMax = 64;
/** Most bytes of what a job brings back, all its archives together: 1 GiB. */
export const artifactBytesMax = 2 ** 30;
/** A file or a directory below the workspace that a job brings back. */
export const artifactPathSchema = anyRelativePathSchema.pipe(
  z.string().min(1, 'must be a path below the workspace, not the workspace').max(1_000),
);
/** The paths that a job brings back; none of them twice. */
export const artifactPathsSchema = z
  .array(artifactPathSchema)
  .max(artifactsMax)
  .refine((paths) => new Set(paths).size === paths.length, 'must not have a path twice');

function plainPath(path: string): string {
  if (path.startsWith('/')) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/**
 * How long a step may go on, ms, after it was asked to end by a signal: at the deadline of its job, and after a cancel. The instance and
 * the executor wait for it, so it is bounded.
 */
export const stopGraceSchema = z.int().min(0).max(300_000).default(10_000);

/** The name of a secret, and of the environment variable that a step has it in. */
export const secretNameSchema = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
    'must be the name of an environment variable: letters, digits and `_`, at most 128, and no digit first',
  );

/** Most secrets of one job. */
export const jobSecretsMax = 64;

/** A reference to an image in a registry, as container engines take it; never a bare digest. */
export const imageReferenceSchema = z
  .string()
  .max(512)
  .regex(
    /^(?!sha256:)[a-z0-9][a-z0-9._-]*(:\d{1,5}(?=\/))?(\/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$/,
    'must be a reference to an image, such as `name:tag` or `registry/name@sha256:<digest>`',
  );
