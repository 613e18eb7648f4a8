import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where everything lives that is not the program: one directory, below which every process has its own. */
export interface State {
  readonly root: string;
  /** Bundled programs, copied from the checkout: everybody may read them, also where the checkout is in a closed home. */
  readonly runtime: string;
  /** Kernel and initramfs. */
  readonly guest: string;
  /** Container images that recipes of `images/` built. */
  readonly images: string;
  readonly postgres: string;
  readonly instance: string;
  readonly executor: string;
  /** Scratch disks and records of running VMs. */
  readonly vms: string;
  /** Configurations, logs, the access token, who runs. */
  readonly run: string;
  /** The canary's verdict. */
  readonly probe: string;
}

/**
 * Returns the state directory and what is where in it, without making anything: `FUMEHOOD_STATE`, or `/var/lib/fumehood` for root, or
 * the user's `~/.local/state/fumehood`.
 */
export function openState(environment: NodeJS.ProcessEnv, uid: number): State {
  const home = environment.XDG_STATE_HOME ?? join(homedir(), '.local/state');
  const chosen = environment.FUMEHOOD_STATE ?? (uid === 0 ? '/var/lib/fumehood' : join(home, 'fumehood'));
  const root = resolve(chosen);
  return {
    root,
    runtime: join(root, 'runtime'),
    guest: join(root, 'guest'),
    images: join(root, 'images'),
    postgres: join(root, 'postgres'),
    instance: join(root, 'instance'),
    executor: join(root, 'executor'),
    vms: join(root, 'vms'),
    run: join(root, 'run'),
    probe: join(root, 'probe.json'),
  };
}

/** One word for a state directory, for names that are global on this machine. */
export function stateKey(state: State): string {
  return createHash('sha256').update(state.root).digest('hex').slice(0, 16);
}

/** A JSON file, or null while there is none. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}
