import { expect } from 'vitest';
import type { Person } from '../../auth/people.ts';
import { answerGraphql } from '../answer.ts';
import type { QueryDeps } from '../part.ts';

/** Asks without the way over HTTP, where no field needs what is not in `deps`. Returns the answer as clients get it. */
export async function ask(
  deps: Partial<QueryDeps>,
  person: Person,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<{ data?: Record<string, unknown> | null; errors?: unknown }> {
  const answer = await answerGraphql(deps as QueryDeps, person, { query, variables }, (error) => {
    throw error;
  });
  return JSON.parse(JSON.stringify(answer)) as Awaited<ReturnType<typeof ask>>;
}

/** What an answer with one refusal is like. */
export const refusal = (code: string) => ({ errors: [expect.objectContaining({ extensions: { code } })] });
