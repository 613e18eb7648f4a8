import { join } from 'node:path';
import { allocatedBytes } from '../state/usage.ts';
import type { State } from '../state/state.ts';

/** A part of the state directory. */
export interface Part {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Whether it can be built or downloaded again. */
  readonly again: boolean;
}

/** Returns the parts of the state directory with their sizes. */
export async function partsOf(state: State): Promise<Part[]> {
  const parts = [
    { name: 'programs', path: state.runtime, again: true },
    { name: 'guest image', path: state.guest, again: true },
    { name: 'built container images', path: state.images, again: true },
    { name: 'disks of the executor', path: join(state.executor, 'disks'), again: true },
    { name: 'image archives of the executor', path: join(state.executor, 'blobs'), again: true },
    { name: 'verdict of the canary', path: state.probe, again: true },
    { name: 'virtual machines', path: state.vms, again: false },
    { name: 'database', path: state.postgres, again: false },
    { name: 'repositories, images and indexes of the instance', path: state.instance, again: false },
    { name: 'settings, logs and secrets', path: state.run, again: false },
  ];
  return Promise.all(parts.map(async (part) => ({ ...part, bytes: await allocatedBytes(part.path) })));
}
