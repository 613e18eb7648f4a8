import { storedRepositorySchema } from '@fumehood/protocol';
import { usage } from '../errors.ts';

/** Returns the name that a repository has if nobody gives it one: host and path of its URL, without `.git`. Errors: `usage`. */
export function nameOfUrl(url: string): string {
  const { hostname, pathname } = new URL(url);
  const name = storedRepositorySchema.safeParse(
    `${hostname}${pathname.replace(/\/+$/, '').replace(/\.git$/, '')}`,
  );
  if (!name.success)
    throw usage(
      `the URL makes no name for the repository: it ${name.error.issues[0]?.message}`,
      'Give one: --name.',
    );
  return name.data;
}
