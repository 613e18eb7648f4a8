import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stateHome } from './state.ts';

/** The name of this product before its first release. It belongs to another product now, so no other file contains it. */
const formerName = 'glovebox';

/** A state directory that was made under the former name, and how to remove it. */
export interface FormerState {
  readonly path: string;
  readonly remedy: string;
}

/** Finds state directories of the former name. Fumehood never reads or removes them: they may hold the only copy of data. */
export function findFormerStates(environment: NodeJS.ProcessEnv, uid: number): FormerState[] {
  const variable = environment[`${formerName.toUpperCase()}_STATE`];
  const home = uid === 0 ? '/var/lib' : stateHome(environment);
  const paths = [
    ...new Set([...(variable ? [variable] : []), ...(home ? [join(home, formerName)] : [])]),
  ].filter((path) => existsSync(path));
  return paths.map((path) => ({
    path,
    remedy: `Fumehood does not use it. Stop what still runs in it with \`${formerName} down\` in the old checkout, then remove it: rm -rf ${path}`,
  }));
}
