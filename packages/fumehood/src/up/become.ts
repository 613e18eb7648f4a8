import type { Runtime } from '../runtime/runtime.ts';

/** The environment of every process of Fumehood. */
export const daemonEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
};

/** Makes this process run a program in its place: whoever started it sends its signals to the program and gets its exit code. */
export function become({ node }: Pick<Runtime, 'node'>, script: string, config: string): never {
  process.chdir('/');
  process.execve?.(node, [node, script, config], daemonEnvironment);
  throw new TypeError(`${node} cannot be executed in the place of this process`);
}
