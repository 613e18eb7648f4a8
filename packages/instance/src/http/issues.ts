import type { z } from 'zod';

/** Returns what is wrong with an input, in one line: each place and the reason. */
export function describeIssues({ issues }: z.ZodError): string {
  return issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
}
