import type { Client } from '@fumehood/client';
import type { CredentialRecord } from '@fumehood/protocol';
import { usage } from '../errors.ts';

interface Named {
  readonly id: number;
  readonly name: string;
}

/**
 * Returns the one record of which `text` is the name or the id. `what` names its kind, and `list` the command that lists all of them.
 * Errors: `usage` if there is none, or more than one.
 */
export function choose<T extends Named>(what: string, all: readonly T[], text: string, list: string): T {
  const found = all.filter(({ id, name }) => name === text || String(id) === text);
  const [first, ...others] = found;
  if (!first) throw usage(`there is no ${what} ${text}`, `\`${list}\` shows those that there are.`);
  if (others.length > 0) {
    const ids = found.map(({ id }) => id).join(', ');
    throw usage(`${text} is the name of more than one ${what}`, `Give the id of one: ${ids}.`);
  }
  return first;
}

/** Finds a credential of executors by its name or id. Errors: `usage` if there is none, or more than one. */
export async function chooseCredential(access: Client['access'], text: string): Promise<CredentialRecord> {
  return choose('credential', await access.credentials(), text, 'fumehood executors credentials list');
}
