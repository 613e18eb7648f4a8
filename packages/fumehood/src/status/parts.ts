import { join } from 'node:path';
import { allocatedBytes } from '../state/usage.ts';
import type { State } from '../state/state.ts';

/** A part of the state directory. */
export interface Part {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Whether it can be built or downloaded again. */
  readonly rebuildable: boolean;
}

/** Returns the parts of the state directory with their sizes. */
export async function partsOf(state: State): Promise<Part[]> {
  const parts = [
    { name: 'programs', path: state.runtime, rebuildable: true },
    { name: 'guest image', path: state.guest, rebuildable: true },
    { name: 'Firecracker', path: state.firecracker, rebuildable: false },
    { name: 'built container images', path: state.images, rebuildable: true },
    { name: 'disks of the executor', path: join(state.executor, 'disks'), rebuildable: true },
    { name: 'image archives of the executor', path: join(state.executor, 'blobs'), rebuildable: true },
    { name: 'verdict of the canary', path: state.probe, rebuildable: true },
    { name: 'verdict of the canary on Firecracker', path: state.firecrackerProbe, rebuildable: true },
    { name: 'virtual machines', path: state.vms, rebuildable: false },
    { name: 'database', path: state.postgres, rebuildable: false },
    { name: 'repositories, images and indexes of the instance', path: state.instance, rebuildable: false },
    { name: 'settings, logs and secrets', path: state.run, rebuildable: false },
  ];
  return Promise.all(parts.map(async (part) => ({ ...part, bytes: await allocatedBytes(part.path) })));
}
