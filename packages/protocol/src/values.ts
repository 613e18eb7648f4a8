import { z } from 'zod';

/** A job's number: a positive integer, unique over all queues of our instance. */
export const jobIdSchema = z.int().positive();

/** An executor's name, unique on its instance. */
export const executorNameSchema = z.string().min(1).max(200);

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

function plainPath(path: string): string {
  if (path.startsWith('/')) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** A reference to an image in a registry, as container engines take it; never a bare digest. */
export const imageReferenceSchema = z
  .string()
  .max(512)
  .regex(
    /^(?!sha256:)[a-z0-9][a-z0-9._-]*(:\d{1,5}(?=\/))?(\/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$/,
    'must be a reference to an image, such as `name:tag` or `registry/name@sha256:<digest>`',
  );
