import { resolve } from 'node:path';
import type { Clock } from '@fumehood/base';
import {
  architectures,
  chooseRelease,
  fetchArchive,
  installArchive,
  installedBinary,
  isInstalled,
  isUrl,
  knownReleases,
  releaseUrl,
} from '@fumehood/executor';
import { acceptedVersion } from '@fumehood/microvm';
import { usage } from '../errors.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import type { State } from '../state/state.ts';
import { useSystemNetwork } from '../target/system-network.ts';
import { canaryIdentity } from '../up/identities.ts';
import { atMostEachSecond, type Fetched } from './progress.ts';

/** What was installed. */
interface Installed {
  readonly version: string;
  readonly sha256: string;
  readonly binary: string;
  readonly alreadyInstalled: boolean;
}

/**
 * Installs a release of Firecracker in the state directory, unless it is there. The archive is kept in memory until it has the checksum of
 * the release: an interrupted download leaves nothing. Errors: `vmm_refused` for a version with known holes, `release_unknown`,
 * `archive_unavailable`, `archive_wrong`, `install_failed`, those of `makeState` and `lockState`, and the reason of the signal.
 */
export async function installFirecracker(deps: {
  readonly state: State;
  readonly clock: Clock;
  /** Whether this process is root. */
  readonly root: boolean;
  readonly onProgress: (line: string) => void;
  readonly asked: { readonly version: string | undefined; readonly sha256: string | undefined };
  /** A file or a URL; by default the URL of the release. */
  readonly from: string | undefined;
  readonly signal: AbortSignal;
  readonly onFetched: (fetched: Fetched) => void;
}): Promise<Installed> {
  const { state, root, signal } = deps;
  const architecture = architectures[process.arch as keyof typeof architectures];
  if (architecture === undefined)
    throw usage(
      `Firecracker is not released for this machine (${process.arch})`,
      'Use a machine with x86-64 or arm64.',
    );
  const release = chooseRelease(deps.asked, architecture, knownReleases);
  acceptedVersion(release.version, { pci: false });
  const identity = canaryIdentity(root);
  const directory = state.firecracker;
  const from =
    deps.from === undefined || isUrl(deps.from) ? (deps.from ?? releaseUrl(release)) : resolve(deps.from);
  const done = (alreadyInstalled: boolean): Installed => ({
    version: release.version,
    sha256: release.sha256,
    binary: installedBinary(directory, release.version),
    alreadyInstalled,
  });
  makeState(state, root);
  if (await isInstalled(directory, release, identity)) return done(true);
  if (isUrl(from)) useSystemNetwork();
  const report = atMostEachSecond(deps.onFetched);
  const archive = await fetchArchive(from, release.sha256, {
    signal,
    onProgress: (receivedBytes, totalBytes) => report({ from, receivedBytes, totalBytes }),
  });
  const unlock = await lockState(deps);
  try {
    signal.throwIfAborted();
    makeState(state, root); // `clean --all` may have held the lock
    if (await isInstalled(directory, release, identity)) return done(true);
    await installArchive(archive, { directory, release, from: withoutQuery(from), identity });
    return done(false);
  } finally {
    unlock();
  }
}

/** Returns a file, or a URL without what follows its path: that may grant access to the archive, and all users can read the record. */
function withoutQuery(from: string): string {
  if (!isUrl(from)) return from;
  const { origin, pathname } = new URL(from);
  return `${origin}${pathname}`;
}
