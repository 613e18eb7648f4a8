import * as z from 'zod';

/** What an access token with each scope may do. Only an admin's token can have `admin`. */
export const scopeMeaning = {
  'jobs:read': 'see own jobs, their output, shares and the status',
  'jobs:write': 'start and cancel own jobs, send them input, put images, set secrets',
  'code:read': 'see what was indexed, and batch changes',
  'code:write': 'put commits; with code:read, have them indexed; run and apply batch specs',
  tokens: 'list, make and revoke access tokens of their user',
  admin: 'everything, for everybody: users, executors, shares',
} as const;
export const scopeSchema = z.enum(
  Object.keys(scopeMeaning) as [keyof typeof scopeMeaning, ...(keyof typeof scopeMeaning)[]],
);
export type Scope = z.infer<typeof scopeSchema>;
