import { readdir } from 'node:fs/promises';
import { factsOf, type Identity } from '@fumehood/base';
import { acceptedVersion, compareVersions, firecrackerVersion } from '@fumehood/microvm';
import { installedBinary } from './install.ts';

/** A Firecracker that may run VMs, or why there is none. */
export type FirecrackerFound =
  | { readonly binary: string; readonly version: string }
  | { readonly binary: null; readonly why: string };

/**
 * Finds the Firecracker of this machine: the binary that is named, or else the newest installed version. The binary says its version
 * as `identity`, as the users of VMs will run it.
 */
export async function findFirecracker(host: {
  /** Path of a binary; null for the newest installed version. */
  readonly named: string | null;
  /** Directory of the installed versions. */
  readonly directory: string;
  readonly identity: Identity | null;
}): Promise<FirecrackerFound> {
  const { named, directory, identity } = host;
  if (named !== null) return await look(named, identity);
  const refused: FirecrackerFound[] = [];
  for (const version of await installedVersions(directory)) {
    const found = await look(installedBinary(directory, version), identity);
    if (found.binary !== null) return found;
    refused.push(found);
  }
  return (
    refused[0] ?? {
      binary: null,
      why: 'none is installed; `fumehood executor install firecracker` installs it',
    }
  );
}

async function look(binary: string, identity: Identity | null): Promise<FirecrackerFound> {
  try {
    return { binary, version: await firecrackerVersion(binary, identity) };
  } catch (error) {
    return { binary: null, why: factsOf(error).message };
  }
}

/** Returns the accepted versions that are installed, the newest one first. */
async function installedVersions(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter(isAccepted).toSorted((one, other) => compareVersions(other, one));
}

function isAccepted(name: string): boolean {
  try {
    return acceptedVersion(name, { pci: false }) === name;
  } catch {
    return false;
  }
}
