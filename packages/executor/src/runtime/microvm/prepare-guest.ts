import { diskDevice, gatewayAddress, type Guest, scratchDevice } from '@fumehood/microvm';
import type { ImageRoot } from '@fumehood/oci';
import type { DiskPlan } from './vm-plan.ts';

/** Paths of the guest, outside of the steps' roots. */
export const guestPaths = {
  workspace: '/workspace',
  files: '/run/fumehood',
  /** The root of the tools of this host, which no step sees, and the `.git` on which their git works. */
  tools: '/roots/tools',
  git: '/git',
  /** The files of a step of a batch change, on the scratch disk. */
  stepFiles: '/scratch/files',
  root: (step: number) => `/roots/${step}`,
} as const;

/**
 * Mounts the disks and writes the files that the steps see, in a guest that was accepted. Commands are sent
 * without waiting for answers. When the guest refuses one, `guest.broken` rejects.
 */
export async function prepareGuest(
  guest: Guest,
  plan: DiskPlan,
  settings: {
    readonly hostname: string;
    /** Whether the guest has a network, in which its gateway is the name server. */
    readonly network: boolean;
    readonly files: Readonly<Record<string, string>>;
  },
): Promise<void> {
  // The kernel would write 64 MB of zeros in the background, for inodes that a disk of one job hardly needs.
  const data = 'noinit_itable';
  guest.mount({ type: 'ext4', source: scratchDevice, target: '/scratch', flags: ['nodev'], data });
  for (const slot of new Set(plan.imageSlots)) mountDisk(guest, slot, `/images/${slot}`);
  // Every step gets a fresh copy of its image, as from `docker run --rm`.
  plan.imageSlots.forEach((slot, step) => {
    overlay(guest, `/images/${slot}`, `/scratch/roots/${step}`, guestPaths.root(step), plan.imageRoots[step]);
  });
  if (plan.workspaceSlot !== null) {
    mountDisk(guest, plan.workspaceSlot, '/commit');
    overlay(guest, '/commit', '/scratch/workspace', guestPaths.workspace, { mode: 0o777 });
  }
  if (plan.tools !== null) {
    mountDisk(guest, plan.tools.slot, '/tools');
    overlay(guest, '/tools', '/scratch/tools', guestPaths.tools);
    overlay(guest, `/commit/${plan.tools.repository}/.git`, '/scratch/git', guestPaths.git);
    guest.mkdir(guestPaths.stepFiles);
  }
  const { hostname } = settings;
  const files = {
    hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${hostname}\n`,
    hostname: `${hostname}\n`,
    'resolv.conf': settings.network ? `nameserver ${gatewayAddress}\n` : '',
    ...settings.files,
  };
  guest.mkdir(guestPaths.files);
  for (const [name, content] of Object.entries(files)) guest.file(`${guestPaths.files}/${name}`, content);
  // Commands are executed in order, and only failures are answered. So the answer to a ping says that all have succeeded.
  await Promise.race([guest.ping(), guest.broken]);
}

function mountDisk(guest: Guest, slot: number, target: string): void {
  guest.mount({ type: 'squashfs', source: diskDevice(slot), target, flags: ['ro', 'nodev'] });
}

/**
 * Mounts without `nosuid`: Docker images have setuid programs, and the guest is the boundary. The root directory of an overlay is that
 * of its upper layer, so `root` says what it is.
 */
function overlay(
  guest: Guest,
  lower: string,
  scratch: string,
  target: string,
  root?: Partial<ImageRoot>,
): void {
  guest.mkdir(`${scratch}/upper`, root);
  guest.mkdir(`${scratch}/work`);
  guest.mount({
    type: 'overlay',
    source: 'overlay',
    target,
    flags: ['nodev'],
    data: `lowerdir=${lower},upperdir=${scratch}/upper,workdir=${scratch}/work,redirect_dir=on,index=off`,
  });
}
