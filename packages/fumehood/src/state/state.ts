import { lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { stateUnreachable, usage } from '../errors.ts';

/** The state directory, which holds everything that Fumehood makes on this machine, and the paths in it. */
export interface State {
  /** Its path without symbolic links, so that every spelling of it names the same state. */
  readonly root: string;
  /** Bundled programs, which all users can read even if the checkout is in a closed home directory. */
  readonly runtime: string;
  /** Kernel and initramfs. */
  readonly guest: string;
  /** Installed versions of Firecracker, a directory for each. */
  readonly firecracker: string;
  /** Container images that were built from the recipes in `images/`. */
  readonly images: string;
  readonly postgres: string;
  readonly instance: string;
  readonly executor: string;
  /** Scratch disks and records of running VMs. */
  readonly vms: string;
  /** Configurations, logs, secrets, and the records of running processes. */
  readonly run: string;
  /** File with the last verdict of the canary. */
  readonly probe: string;
  /** File with the last verdict of the canary on Firecracker. */
  readonly firecrackerProbe: string;
}

/**
 * Returns the state directory and what is where in it, without making anything: `FUMEHOOD_STATE`, or `/var/lib/fumehood` for root, or
 * the user's `~/.local/state/fumehood`. An empty variable is refused: the caller meant a directory, and which one nobody knows.
 * Errors: `usage`, `state_unreachable`.
 */
export function openState(environment: NodeJS.ProcessEnv, uid: number): State {
  if (environment.FUMEHOOD_STATE === '')
    throw usage('FUMEHOOD_STATE is empty', 'Set it to the path of a directory, or unset it.');
  const usual = uid === 0 ? '/var/lib' : stateHome(environment);
  const chosen = environment.FUMEHOOD_STATE ?? (usual && join(usual, 'fumehood'));
  if (chosen === null)
    throw usage(
      'this user has no home directory, where the state directory would be',
      'Set FUMEHOOD_STATE to the path of a directory, or HOME.',
    );
  const root = realPathOf(chosen);
  return {
    root,
    runtime: join(root, 'runtime'),
    guest: join(root, 'guest'),
    firecracker: join(root, 'firecracker'),
    images: join(root, 'images'),
    postgres: join(root, 'postgres'),
    instance: join(root, 'instance'),
    executor: join(root, 'executor'),
    vms: join(root, 'vms'),
    run: join(root, 'run'),
    probe: join(root, 'probe.json'),
    firecrackerProbe: join(root, 'probe-firecracker.json'),
  };
}

/** Returns the directory in which the programs of this user keep their state; null for a user without a home directory. */
export function stateHome(environment: NodeJS.ProcessEnv): string | null {
  if (environment.XDG_STATE_HOME) return environment.XDG_STATE_HOME;
  try {
    const home = homedir();
    return isAbsolute(home) ? join(home, '.local/state') : null;
  } catch {
    return null; // neither HOME nor /etc/passwd has one
  }
}

/** Returns the path without symbolic links, also where its last parts do not exist yet. Errors: `state_unreachable`. */
function realPathOf(path: string): string {
  const absolute = isAbsolute(path) ? path : `${process.cwd()}/${path}`;
  try {
    return realpathSync.native(absolute);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw stateUnreachable(path, (error as Error).message);
  }
  const link = lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(absolute);
  if (!link) return join(realPathOf(dirname(absolute)), basename(absolute));
  return realPathOf(isAbsolute(link) ? link : `${dirname(absolute)}/${link}`);
}

/** Reads a JSON file. Returns null if it is missing or not JSON. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}
