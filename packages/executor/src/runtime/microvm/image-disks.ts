import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Spawn } from '@fumehood/base';
import {
  fetchImage,
  type ImageDisk,
  imageDisk,
  type Registries,
  type RegistryAuths,
  registryAuthsSchema,
} from '@fumehood/oci';
import { z } from 'zod';
import { readConfig } from '../../config.ts';
import { fetchBlob } from '../../uplink/fetch-blob.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import { uploadProgram } from '../../upload/upload.ts';
import { imageDigest, type ValidatedJob } from './plan.ts';

/** Where the images of steps come from: the instance, or registries. */
export interface ImageDeps {
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly directories: { readonly disks: string; readonly blobs: string; readonly work: string };
  readonly registries: Registries;
  /** Docker's `config.json`, for jobs that bring no credentials of registries. */
  readonly registryAuthFile: string | null;
  /** Node, as a path of the host. */
  readonly node: string;
}

/** The disk of each step's image, fetched if it is not there. `tell` is told what a reference stood for. Errors: `image_…`, `registry_…`. */
export async function imageDisks(
  deps: ImageDeps,
  client: JobClient,
  job: Pick<ValidatedJob, 'dockerSteps' | 'dockerAuthConfig'>,
  stopped: AbortSignal,
  tell: (line: string) => Promise<void>,
): Promise<ImageDisk[]> {
  const { spawn, clock, directories } = deps;
  const made = new Map<string, ImageDisk>();
  for (const { image } of job.dockerSteps) {
    if (made.has(image)) continue; // a tag that moves meanwhile does not change the job
    const digest = imageDigest(image);
    const archive =
      digest === null
        ? await fetchReference(deps, image, job, stopped, tell)
        : await fetchBlob(client, digest, directories.blobs, clock, stopped);
    const disk = await imageDisk(spawn, archive, directories.disks);
    const now = clock.now() / 1000;
    await utimes(join(directories.disks, disk.file), now, now); // the janitor removes what was not used for long
    made.set(image, disk);
  }
  return job.dockerSteps.map(({ image }) => made.get(image) as ImageDisk);
}

async function fetchReference(
  deps: ImageDeps,
  reference: string,
  { dockerAuthConfig }: Pick<ValidatedJob, 'dockerAuthConfig'>,
  stopped: AbortSignal,
  tell: (line: string) => Promise<void>,
): Promise<string> {
  const { spawn, registries, directories } = deps;
  const from = {
    ...{ spawn, registries, work: directories.work, cache: directories.blobs },
    node: { source: deps.node, target: uploadProgram },
  };
  const brought = dockerAuthConfig?.auths ?? {};
  const auths = Object.keys(brought).length > 0 ? brought : await ownAuths(deps.registryAuthFile);
  const { digest, file } = await fetchImage(from, reference, auths, stopped);
  await tell(`${reference} is ${digest}`);
  return file;
}

/** Read each time: whoever renews it has nobody to tell. Errors: `config_invalid`. */
async function ownAuths(file: string | null): Promise<RegistryAuths> {
  if (file === null) return {};
  return (await readConfig(z.object({ auths: registryAuthsSchema }), file)).auths;
}
