import type { BrokerEnvironment } from '@fumehood/egress';
import type { ImageConfig } from '@fumehood/oci';
import { type DockerStep, scriptOf } from '@fumehood/protocol';
import { jobRefused } from '../../errors.ts';

/** The path of the workspace in a step; upstream's executors use the same. */
export const workspaceTarget = '/data';
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Returns a step's name for log entries, file names and messages: its key, or its index when it has none. */
export function stepName(step: DockerStep, index: number): string {
  return step.key?.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 40) || String(index);
}

/** Returns the lines of `commands` as a script, or null when the step has none and runs an argument vector. */
export function stepScript(step: DockerStep): string | null {
  return step.commands && step.commands.length > 0 ? scriptOf(step.commands) : null;
}

/**
 * Returns the argument vector of a step, as Docker composes it: a script replaces the entrypoint; arguments replace the image's
 * Cmd and follow the entrypoint. Errors: `job_refused` when the vector is empty.
 */
export function stepArguments(step: DockerStep, image: ImageConfig, script: string | null): string[] {
  if (script) return ['/bin/sh', script];
  const argv = [...image.entrypoint, ...(step.argv && step.argv.length > 0 ? step.argv : image.cmd)];
  if (argv.length === 0)
    throw jobRefused('its image names no command', 'Give the command to run after the image.');
  return argv;
}

/**
 * Returns the whole environment of a step, as Docker composes it: PATH and HOSTNAME, then the image's variables, then the step's.
 * Init sets HOME, from the image's passwd. Git is configured to trust the repository, at this path of the workspace, although
 * another user owns it. The variables of the broker give way to those of the image and the step.
 */
export function stepEnvironment(
  step: DockerStep,
  image: ImageConfig,
  hostname: string,
  repository: string | null,
  broker: BrokerEnvironment = { variables: {}, gitConfig: [] },
  extra: Readonly<Record<string, string>> = {},
): string[] {
  const variables = new Map([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ]);
  for (const line of [...image.env, ...(step.env ?? [])]) {
    const equals = line.indexOf('=');
    // In Docker, `NAME` alone passes on the variable of the executor. A job does not get those.
    if (equals > 0 && !line.includes('\0')) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  // Programs take some of these names in any case.
  const taken = new Set([...variables.keys()].map((name) => name.toLowerCase()));
  for (const [name, value] of Object.entries(broker.variables))
    if (!taken.has(name.toLowerCase())) variables.set(name, value);
  const safe =
    repository === null ? [] : [['safe.directory', [workspaceTarget, repository].filter(Boolean).join('/')]];
  const gitConfig = [...safe, ...broker.gitConfig];
  if (gitConfig.length > 0 && !variables.has('GIT_CONFIG_COUNT')) {
    variables.set('GIT_CONFIG_COUNT', String(gitConfig.length));
    for (const [at, [name = '', value = '']] of gitConfig.entries()) {
      variables.set(`GIT_CONFIG_KEY_${at}`, name);
      variables.set(`GIT_CONFIG_VALUE_${at}`, value);
    }
  }
  for (const [name, value] of Object.entries(extra)) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/**
 * Returns the working directory of a step: below the workspace if there is one, else below the root, or the image's own directory
 * when the step names none. Errors: `job_refused`.
 */
export function stepDirectory(step: DockerStep, image: ImageConfig, inWorkspace: boolean): string {
  const parts = (step.dir ?? '').split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || step.dir?.includes('\0'))
    throw jobRefused(
      `the directory ${JSON.stringify(step.dir)} of a step leads out of the workspace`,
      'Name a directory inside of it.',
    );
  if (inWorkspace) return [workspaceTarget, ...parts].join('/');
  return parts.length > 0 ? `/${parts.join('/')}` : image.workingDir;
}
