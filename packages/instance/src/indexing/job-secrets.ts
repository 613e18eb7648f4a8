import type { Db } from '../db/connect.ts';
import { readSecrets } from '../secrets/secrets.ts';
import type { IndexPlan } from './plan.ts';

/** Whose secrets the index jobs of a repository may get. */
interface SecretsAllowed {
  readonly repository: string;
  readonly tenant: string;
  /** The names that an admin lets a commit ask for. */
  readonly allowed: readonly string[];
}

/**
 * Chooses which secrets of the tenant the jobs of a plan get, of those that they ask for. Whoever can push to a repository decides what its
 * commits ask for and what the jobs run, so an admin has to have named these secrets: in the settings of the repository, or in its
 * configuration on the instance. The notes say what was left out and why.
 */
export async function chooseSecrets(
  db: Db,
  { repository, tenant, allowed }: SecretsAllowed,
  { source, jobs }: IndexPlan,
): Promise<{ readonly given: ReadonlySet<string>; readonly notes: readonly string[] }> {
  const asked = [...new Set(jobs.flatMap(({ spec }) => spec.requestedEnvVars))];
  const stored = new Set((await readSecrets(db, tenant, asked)).map(({ name }) => name));
  const mayHave = (name: string) => source === 'instance' || allowed.includes(name);
  const given = new Set(asked.filter((name) => stored.has(name) && mayHave(name)));
  const notes = asked.flatMap((name) => {
    if (given.has(name)) return [];
    if (stored.has(name))
      return [
        `the jobs do not get the secret ${name}: an admin has to allow it, \`fumehood index settings set ${repository} --secret ${name}\``,
      ];
    // What is inferred asks for every secret that its tools know.
    if (source === 'inferred' && !allowed.includes(name)) return [];
    return [`the jobs do not get ${name}: ${tenant} has no such secret, \`fumehood secrets set ${name}\``];
  });
  return { given, notes };
}
