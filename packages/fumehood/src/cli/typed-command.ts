import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '../layout/layout.ts';

/** From where a command was called. */
export interface Caller {
  readonly environment: NodeJS.ProcessEnv;
  readonly directory: string;
  readonly layout: Pick<Layout, 'root' | 'command' | 'isCheckout'>;
}

/**
 * Returns what the caller types to run this command line again: `fumehood` if a shell finds it, `npx fumehood` in a checkout, or else
 * its path. In another directory npx would ask the registry for a package of this name.
 */
export function typedCommand({ environment, directory, layout }: Caller): string {
  // npm adds its own directories to the path of what it runs, which the shell of the caller does not have.
  const isOfNpm = (path: string) =>
    environment.npm_command !== undefined && path.endsWith('/node_modules/.bin');
  const own = realPathOf(layout.command);
  const isFound = (environment.PATH ?? '')
    .split(':')
    .some((path) => path !== '' && !isOfNpm(path) && realPathOf(join(path, 'fumehood')) === own);
  if (isFound) return 'fumehood';
  if (layout.isCheckout && `${directory}/`.startsWith(`${layout.root}/`)) return 'npx fumehood';
  const path = layout.command;
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
