import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { guestNotReady, vmRefused } from '../../errors.ts';
import { guestMac, namedTapMissing, tapName, tun } from '../../network/network.ts';
import { type VmSpec, vmName } from '../../vm/spec.ts';
import type { ConnectedGuest, LaunchedVmm, Monitor, Vmm, VmmDescriptors } from '../vmm.ts';
import { type FirecrackerApi, openFirecrackerApi } from './api.ts';
import { type Listeners, listenForGuest } from './guest-listeners.ts';
import { dialApi } from './dial-api.ts';
import { acceptedVersion } from './versions.ts';

/**
 * Most read-only disks of a VM whose devices are on MMIO: Firecracker starts 17 of them. One is the scratch disk, one is vsock, and two are
 * left for a NIC and another one. A VM with more disks has a PCI bus, and boots.
 */
const templateDisksMax = 13;
const hasPci = ({ disks }: VmSpec) => disks.length > templateDisksMax;
/** Most processors of a VM, as Firecracker's API says. */
const cpusMax = 32;
/** Of the guest. Every VM may have the same one: its host is its own VMM. */
const guestCid = 3;

/** Names in the directory of a VM, which is the VMM's working directory. Firecracker dials `v_P` when the guest dials port P. */
const names = { api: 'api', vsock: 'v' } as const;

/**
 * Runs VMs on Firecracker, which knows paths alone. Files go by the paths of inherited descriptors; the API and the guest's ports are sockets
 * in a directory of the VM (`docs/vmm.md`). Only hardware runs its guests.
 */
export function firecracker(binary: string): Vmm {
  return {
    name: 'firecracker',
    binary,
    isStatic: true,
    guestDials: true,
    reopensFiles: true,
    opensTap: true,
    makesMemory: true,
    templateDisksMax,
    check({ acceleration, cpus, network }) {
      const missing = network ? namedTapMissing() : null;
      if (missing !== null) throw vmRefused(`its guest is to have a network, and ${missing}`);
      if (acceleration !== 'kvm')
        throw vmRefused('Firecracker needs hardware virtualization, and this VM is to be emulated');
      if (cpus > cpusMax) throw vmRefused(`it has ${cpus} processors, and Firecracker at most ${cpusMax}`);
    },
    command: (spec) => [
      binary,
      ...['--id', vmName(spec.id), '--api-sock', names.api, '--level', 'Warning'],
      ...(hasPci(spec) ? ['--enable-pci'] : []),
    ],
    devices: ({ network }) => ['/dev/kvm', ...(network ? [tun] : [])],
    async connect(vm) {
      if (!('directory' in vm.channel)) throw new TypeError('Firecracker needs a directory');
      const { directory } = vm.channel;
      const listeners = await listenForGuest(`${directory}/${names.vsock}`);
      return { guest: drive(vm, directory, listeners) };
    },
    openMonitor,
  };
}

/** Starts the guest over the API, whose socket exists as soon as the VM has its first lease, and waits until the guest has dialled. */
async function drive(vm: LaunchedVmm, directory: string, listeners: Listeners): Promise<ConnectedGuest> {
  const ended = vm.ended.then(() => {
    throw guestNotReady('its VMM ended before the guest had connected');
  });
  ended.catch(() => {}); // the VM also ends when it was used
  let monitor: Socket | null = null;
  try {
    monitor = await dialApi(`${directory}/${names.api}`, ended);
    const api = openFirecrackerApi(monitor);
    const version = acceptedVersion(await Promise.race([api.version(), ended]), { pci: hasPci(vm.spec) });
    await Promise.race([startGuest(vm, api, version), ended]);
    await rm(`${directory}/${names.vsock}`, { force: true }); // for the host to dial the guest, which it does not do
    return { sockets: { monitor, ...(await Promise.race([listeners.sockets, ended])) }, version };
  } catch (error) {
    monitor?.destroy();
    listeners.abandon();
    throw error;
  }
}

async function startGuest(
  { spec, fds, templateVersion }: LaunchedVmm,
  api: FirecrackerApi,
  version: string,
): Promise<void> {
  const { start } = fds;
  if (!('state' in start)) return boot(api, spec, fds, start);
  if (version !== templateVersion)
    throw guestNotReady(`its template was made by Firecracker ${templateVersion}, and this is ${version}`);
  await api.send('loadSnapshot', {
    snapshot_path: path(start.state),
    mem_backend: { backend_type: 'File', backend_path: path(fds.memory) },
    resume_vm: false,
  });
  for (const { drive_id, path_on_host } of drivesOf(fds))
    await api.send('changeDrive', { drive_id, path_on_host });
  await api.send('state', { state: 'Resumed' });
}

async function boot(
  api: FirecrackerApi,
  spec: VmSpec,
  fds: VmmDescriptors,
  { kernel, initramfs }: { readonly kernel: number; readonly initramfs: number },
): Promise<void> {
  const size = { vcpu_count: spec.cpus, mem_size_mib: spec.memoryMiB };
  await api.send('machine', { ...size, smt: false, track_dirty_pages: false });
  await api.send('bootSource', {
    kernel_image_path: path(kernel),
    initrd_path: path(initramfs),
    boot_args: `console=ttyS0 quiet loglevel=3 panic=-1 reboot=k random.trust_cpu=off${hasPci(spec) ? '' : ' pci=off'}`,
  });
  const drives = drivesOf(fds);
  // A template has an empty disk in every slot, which its clones replace.
  const { blank } = fds;
  if (blank !== null) while (drives.length < fds.slots + 1) drives.push(driveOf(drives.length, blank, true));
  for (const drive of drives)
    await api.send('drive', { ...drive, is_root_device: false, cache_type: 'Unsafe', io_engine: 'Sync' });
  if (spec.network)
    await api.send('networkInterface', { iface_id: 'network', host_dev_name: tapName, guest_mac: guestMac });
  await api.send('vsock', { guest_cid: guestCid, uds_path: names.vsock });
  await api.send('action', { action_type: 'InstanceStart' });
}

interface Drive {
  readonly drive_id: string;
  readonly path_on_host: string;
  readonly is_read_only: boolean;
}

const driveOf = (slot: number, fd: number, isReadOnly: boolean): Drive => ({
  drive_id: `disk${slot}`,
  path_on_host: path(fd),
  is_read_only: isReadOnly,
});

/** Returns the scratch disk and the others, in the order of their devices in the guest. */
function drivesOf({ scratch, disks }: VmmDescriptors): Drive[] {
  return [driveOf(0, scratch, false), ...disks.map((fd, at) => driveOf(at + 1, fd, true))];
}

/** Returns the path by which the VMM opens a file that it has inherited. */
function path(fd: number | null): string {
  return `/proc/self/fd/${fd}`;
}

/** Speaks to a Firecracker whose API was dialled. */
export function openMonitor(socket: Socket): Monitor {
  const api = openFirecrackerApi(socket);
  const pause = () => api.send('state', { state: 'Paused' });
  return {
    pause,
    async save({ memory, savedState }) {
      await pause();
      await api.send('saveSnapshot', {
        snapshot_type: 'Full',
        snapshot_path: path(savedState),
        mem_file_path: path(memory),
      });
    },
  };
}
