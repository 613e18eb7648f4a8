import type { Stack } from '../stack.ts';
import { type Process, signal, treeOf } from './processes.ts';
import { retry } from './retry.ts';

/** What is killed, with a function that finds it among the processes of the instance and the executor. */
export const targets: Readonly<Record<string, (tree: readonly Process[]) => Process | undefined>> = {
  "the executor's helper": (tree) => tree.find(({ command }) => command.includes('/executor-helper.mjs')),
  agent: (tree) => tree.find(({ command }) => command.includes('/agent.mjs')),
  'a virtual machine': (tree) => tree.find(({ command }) => /qemu-system\S* .*-name fumehood-/.test(command)),
  "the instance's helper": (tree) => tree.find(({ command }) => command.includes('/instance-helper.mjs')),
  instance: (tree) => tree.find(({ command }) => command.includes('/instance.mjs')),
  PostgreSQL: (tree) => tree.find(({ command }) => /\/postgres -D /.test(command)),
  'a backend of PostgreSQL': (tree) =>
    tree.findLast(({ command }) => command.startsWith('postgres: fumehood')),
};

/** Kills one process of the named kind. Returns whether there was one. */
export async function kill(stack: Stack, name: string): Promise<boolean> {
  // The file with the pid is missing while the root process restarts.
  const roots = await Promise.all([retry(() => stack.pid('instance')), retry(() => stack.pid('executor'))]);
  const victim = targets[name]?.(roots.flatMap(treeOf));
  if (!victim) return false;
  signal(victim.pid, 'SIGKILL');
  return true;
}
