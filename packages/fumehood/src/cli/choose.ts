import type { Client } from '@fumehood/client';
import type { CredentialRecord } from '@fumehood/protocol';
import { usage } from '../errors.ts';

interface NamedRecord {
  readonly id: number;
  readonly name: string;
}

/**
 * Finds the one record that has `text` as its name or id. `kind` and `listCommand` are for the error.
 * Errors: `usage` if there is none, or more than one.
 */
export function findByNameOrId<T extends NamedRecord>(
  kind: string,
  all: readonly T[],
  text: string,
  listCommand: string,
): T {
  const found = all.filter(({ id, name }) => name === text || String(id) === text);
  const [first, ...others] = found;
  if (!first) throw usage(`there is no ${kind} ${text}`, `List them with \`${listCommand}\`.`);
  if (others.length > 0) {
    const ids = found.map(({ id }) => id).join(', ');
    throw usage(`${text} is the name of more than one ${kind}`, `Give the id of one of them: ${ids}.`);
  }
  return first;
}

/** Finds an executor credential by its name or id. Errors: `usage` if there is none, or more than one. */
export async function chooseCredential(access: Client['access'], text: string): Promise<CredentialRecord> {
  return findByNameOrId(
    'credential',
    await access.credentials(),
    text,
    'fumehood executors credentials list',
  );
}
