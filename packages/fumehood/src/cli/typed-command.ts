import { realpathSync } from 'node:fs';
import { join } from 'node:path';

/** From where a command was called. */
export interface Caller {
  readonly environment: NodeJS.ProcessEnv;
  readonly directory: string;
  /** The directory of this repository, from which the command runs. */
  readonly checkout: string;
}

/** Returns the path by which this command line can be called from every directory. */
export function commandPath(checkout: string): string {
  return join(checkout, 'node_modules/.bin/fumehood');
}

/**
 * Returns what the caller types to run this command line again: `fumehood` if a shell finds it, `npx fumehood` in the checkout, or else
 * its path. In another directory npx would ask the registry for a package of this name.
 */
export function typedCommand({ environment, directory, checkout }: Caller): string {
  // npm adds its own directories to the path of what it runs, which the shell of the caller does not have.
  const isOfNpm = (path: string) =>
    environment.npm_command !== undefined && path.endsWith('/node_modules/.bin');
  const own = realPathOf(commandPath(checkout));
  const isFound = (environment.PATH ?? '')
    .split(':')
    .some((path) => path !== '' && !isOfNpm(path) && realPathOf(join(path, 'fumehood')) === own);
  if (isFound) return 'fumehood';
  if (`${directory}/`.startsWith(`${checkout}/`)) return 'npx fumehood';
  const path = commandPath(checkout);
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function realPathOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** Replaces `fumehood` by what the caller types, in the commands of a text: they are in backquotes. */
export function withTypedCommands(text: string, typed: string): string {
  return typed === 'fumehood' ? text : text.replaceAll('`fumehood ', () => `\`${typed} `);
}
