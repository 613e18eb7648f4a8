import { type Clock, type FileCacheUse, readConfig, type Spawn } from '@fumehood/base';
import {
  type FetchMemory,
  fetchImage,
  type ImageDisk,
  imageDisk,
  type ProvenImage,
  type Registries,
  type RegistryAuths,
  registryAuthsSchema,
} from '@fumehood/oci';
import { registryOfAuthKey } from '@fumehood/protocol';
import * as z from 'zod';
import type { DiskMaker } from '../../disk-maker/make-disk.ts';
import { insidePaths } from '../../disk-maker/messages.ts';
import { isFailureOfOneJob } from '../../errors.ts';
import { fetchBlob } from '../../uplink/fetch-blob.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import type { Route } from '../../uplink/network-route.ts';
import { imageDigest, type ValidatedJob } from './validate-job.ts';
import { sandboxNode } from '../../sandbox-node.ts';

/** What fetching images from the instance and from registries needs. */
export interface ImageDeps {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** What the job uses of the cache, in which `disks` and `blobs` are. */
  readonly cache: FileCacheUse;
  readonly directories: { readonly disks: string; readonly blobs: string; readonly work: string };
  readonly registries: Registries;
  /** How this machine reaches others: registries are asked through its proxy, too. */
  readonly route: Pick<Route, 'proxy'>;
  /** What the fetches of all jobs know. */
  readonly fetchMemory: FetchMemory;
  /**
   * Docker's `config.json`, with the credentials of this executor. They go before those that the instance sends with a job. A job of an
   * upstream instance that brings credentials gets none of these.
   */
  readonly registryAuthFile: string | null;
  /** Largest image of a registry: its compressed layers together. */
  readonly imageMaxMiB: number;
  /** The path of Node on the host. */
  readonly node: string;
}

/**
 * Returns the disk of each step's image, and makes those that are not cached. Calls `onLine` with a line about each reference
 * and its digest, and with what the images warn of. Errors: `image_…`, `registry_…`.
 */
export async function imageDisks(
  deps: ImageDeps,
  maker: DiskMaker,
  client: JobClient,
  job: Pick<ValidatedJob, 'dockerSteps' | 'dockerAuthConfig'>,
  stopped: AbortSignal,
  onLine: (line: string) => Promise<void>,
): Promise<ImageDisk[]> {
  const { cache, directories } = deps;
  const made = new Map<string, ImageDisk>();
  for (const { image } of job.dockerSteps) {
    if (made.has(image)) continue; // a tag is resolved once for the whole job
    const digest = imageDigest(image);
    const proven =
      digest === null
        ? await fetchReference(deps, image, job, client.native, stopped, onLine)
        : await fetchArchive(deps, client, digest, stopped);
    const archive = { source: proven.archive, target: insidePaths.archive, mode: 'ro' as const };
    const disk = await imageDisk(proven, directories.disks, cache, {
      signal: stopped,
      isOwnFailure: isFailureOfOneJob,
      make: async (file, stop) => (await maker.make({ type: 'image' }, [archive], file, stop)).config,
    });
    if (disk.config.warning !== undefined) await onLine(disk.config.warning);
    made.set(image, disk);
  }
  return job.dockerSteps.map(({ image }) => made.get(image) as ImageDisk);
}

async function fetchArchive(
  { cache, clock, directories }: ImageDeps,
  client: JobClient,
  digest: string,
  stopped: AbortSignal,
): Promise<ProvenImage> {
  const archive = await fetchBlob(client, digest, directories.blobs, cache, clock, stopped);
  return { archive, digestOf: 'archive', digest };
}

async function fetchReference(
  deps: ImageDeps,
  reference: string,
  { dockerAuthConfig }: Pick<ValidatedJob, 'dockerAuthConfig'>,
  native: boolean,
  stopped: AbortSignal,
  onLine: (line: string) => Promise<void>,
): Promise<ProvenImage> {
  const { cache, spawn, registries, directories } = deps;
  const from = {
    ...{ spawn, registries, cache, work: directories.work, archives: directories.blobs },
    memory: deps.fetchMemory,
    maxBytes: deps.imageMaxMiB * 2 ** 20,
    onLine: (line: string) => void onLine(line).catch(() => {}), // the phase finds out by itself that its log fails
    node: { source: deps.node, target: sandboxNode },
    httpProxy: deps.route.proxy,
  };
  const brought = dockerAuthConfig?.auths ?? {};
  const hasAuths = Object.keys(brought).length > 0;
  const own = native || !hasAuths ? await readOwnAuths(deps.registryAuthFile) : {};
  const { digest, file } = await fetchImage(from, reference, chooseAuths(brought, own), stopped);
  await onLine(`${reference} is ${digest}`);
  return { archive: file, digestOf: 'manifest', digest };
}

/** Returns the credentials of the job, and of this executor, which decides where both have one for the same registry. */
export function chooseAuths(brought: RegistryAuths, own: RegistryAuths): RegistryAuths {
  const owned = new Set(Object.keys(own).map(registryOfAuthKey));
  const rest = Object.entries(brought).filter(([key]) => !owned.has(registryOfAuthKey(key)));
  return { ...Object.fromEntries(rest), ...own };
}

/** Reads the file for every image, because nothing tells the agent when it changes. Errors: `config_invalid`. */
async function readOwnAuths(file: string | null): Promise<RegistryAuths> {
  if (file === null) return {};
  return (await readConfig(z.object({ auths: registryAuthsSchema }), file)).auths;
}
