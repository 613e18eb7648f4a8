import type { ImageConfig } from '@fumehood/oci';
import type { DockerStep } from '@fumehood/protocol';
import { jobRefused } from '../../errors.ts';

/** Where a step finds its workspace, as upstream's executors have it. */
export const workspaceTarget = '/data';
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A step's name in log entries, file names and messages: its key, else its place. */
export function stepName(step: DockerStep, index: number): string {
  return step.key?.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 40) || String(index);
}

/** The lines of `commands` as a script, or null when the step runs the image's own command. */
export function stepScript(step: DockerStep): string | null {
  if (!step.commands || step.commands.length === 0) return null;
  return `#!/bin/sh\n${step.commands.join('\n')}\n`;
}

/**
 * The argument vector, with Docker's meaning: a script takes the entrypoint's place; arguments take Cmd's and follow the
 * entrypoint. Errors: `job_refused` when nothing is left to run.
 */
export function stepArguments(step: DockerStep, image: ImageConfig, script: string | null): string[] {
  if (script) return ['/bin/sh', script];
  const argv = [...image.entrypoint, ...(step.argv && step.argv.length > 0 ? step.argv : image.cmd)];
  if (argv.length === 0)
    throw jobRefused('its image names no command', 'Give the command to run after the image.');
  return argv;
}

/**
 * The whole environment, with Docker's meaning: PATH and HOSTNAME, the image's, then the step's. HOME is left to init, which
 * reads it from the image's passwd. Git is told that the repository, at this path of the workspace, is not somebody else's.
 */
export function stepEnvironment(
  step: DockerStep,
  image: ImageConfig,
  hostname: string,
  repository: string | null,
  extra: Readonly<Record<string, string>> = {},
): string[] {
  const variables = new Map([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ]);
  for (const line of [...image.env, ...(step.env ?? [])]) {
    const equals = line.indexOf('=');
    // `NAME` alone would be the executor's own variable in Docker: a job gets none of those.
    if (equals > 0 && !line.includes('\0')) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  if (repository !== null && !variables.has('GIT_CONFIG_COUNT')) {
    variables.set('GIT_CONFIG_COUNT', '1');
    variables.set('GIT_CONFIG_KEY_0', 'safe.directory');
    variables.set('GIT_CONFIG_VALUE_0', [workspaceTarget, repository].filter(Boolean).join('/'));
  }
  for (const [name, value] of Object.entries(extra)) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** The working directory: below the workspace if there is one, else the image's. Errors: `job_refused`. */
export function stepDirectory(step: DockerStep, image: ImageConfig, inWorkspace: boolean): string {
  const parts = (step.dir ?? '').split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || step.dir?.includes('\0'))
    throw jobRefused(`the directory ${JSON.stringify(step.dir)} leads out of it`, 'Name one inside of it.');
  if (inWorkspace) return [workspaceTarget, ...parts].join('/');
  return parts.length > 0 ? `/${parts.join('/')}` : image.workingDir;
}
