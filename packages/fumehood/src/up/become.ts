import { logFormatVariable } from '@fumehood/base';
import type { Runtime } from '../runtime/runtime.ts';

/** The environment of every process of Fumehood. */
export const daemonEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
};

/**
 * Makes this process run a program in its place: whoever started it sends its signals to the program and gets its exit code. Its log is
 * on stderr, for people unless `logJson`.
 */
export function become(
  { node }: Pick<Runtime, 'node'>,
  script: string,
  config: string,
  { logJson = false }: { readonly logJson?: boolean },
): never {
  process.chdir('/');
  const environment = { ...daemonEnvironment, [logFormatVariable]: logJson ? 'json' : 'text' };
  process.execve?.(node, [node, script, config], environment);
  throw new TypeError(`${node} cannot be executed in the place of this process`);
}
