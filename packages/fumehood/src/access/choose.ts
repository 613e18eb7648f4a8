import { usage } from '../errors.ts';

interface Named {
  readonly id: number;
  readonly name: string;
}

/** The one that was named by its name or its id. Errors: `usage` where there is none, or more than one. */
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
