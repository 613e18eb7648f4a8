import { readFileSync } from 'node:fs';
import { guestMac } from '../../network/network.ts';
import { portNames, type VmSpec, vmDisksMax, vmName } from '../../vm/spec.ts';
import type { LaunchedVmm, Vmm, VmmDescriptors } from '../vmm.ts';
import { begin, openMonitor } from './qmp.ts';

/** Runs VMs on QEMU's `microvm` machine: no BIOS tables, no PCI, virtio over MMIO, ports over inherited sockets. */
export function qemu(binary: string): Vmm {
  return {
    name: 'qemu',
    binary,
    isStatic: false,
    guestDials: false,
    reopensFiles: false,
    opensTap: false,
    makesMemory: false,
    templateDisksMax: vmDisksMax,
    openMonitor,
    check() {},
    async connect({ channel, fds }: LaunchedVmm) {
      const { sockets } = inherited(channel);
      begin(sockets.monitor, fds);
      return { guest: Promise.resolve({ sockets, version: null }) };
    },
    devices: (spec) => (spec.acceleration === 'kvm' ? ['/dev/kvm'] : []),
    command: (spec, fds) => [
      binary,
      ...['-name', vmName(spec.id)],
      ...machine(spec, fds),
      ...['-m', String(spec.memoryMiB), '-smp', String(spec.cpus)],
      ...[
        '-object',
        `memory-backend-file,id=m0,size=${spec.memoryMiB}M,mem-path=/proc/self/fd/${fds.memory},share=${'state' in fds.start ? 'off' : 'on'}`,
      ],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...start(spec, fds),
      ...['-serial', 'stdio'],
      ...[
        '-chardev',
        `socket,id=monitor,fd=${inherited(fds.channel).sockets.monitor}`,
        '-mon',
        'chardev=monitor,mode=control',
      ],
      ...disks(fds),
      ...network(fds),
      ...['-device', 'virtio-serial-device,max_ports=8'],
      ...portNames.flatMap((name) => [
        ...['-chardev', `socket,id=${name},fd=${inherited(fds.channel).sockets[name]}`],
        ...['-device', `virtserialport,chardev=${name},name=${name}`],
      ]),
      ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ],
  };
}

function inherited<Sockets>(channel: { readonly sockets: Sockets } | { readonly directory: unknown }) {
  if (!('sockets' in channel)) throw new TypeError('QEMU inherits its sockets');
  return channel;
}

/**
 * Places for devices of a machine with one interrupt controller; with a second one it has 24. Each place costs an emulated
 * clone 60 KB, also when nothing is in it.
 */
const fewPlaces = 8;

function machine(spec: VmSpec, fds: VmmDescriptors): string[] {
  const common = 'microvm,pit=off,pic=off,rtc=on,memory-backend=m0';
  const devices = fds.slots + 2 + (fds.tap === null ? 0 : 1); // the scratch disk, the ports and the network interface
  const places = devices <= fewPlaces ? ',ioapic2=off' : '';
  return spec.acceleration === 'kvm'
    ? ['-M', `${common},isa-serial=on`, '-accel', 'kvm', '-cpu', 'host']
    : ['-M', `${common}${places}`, '-accel', 'tcg,thread=multi', '-cpu', 'qemu64'];
}

/** A clone has its kernel in its memory already. It runs as soon as it has loaded the state that `begin` tells it of. */
function start(spec: VmSpec, { start }: VmmDescriptors): string[] {
  if ('state' in start) return ['-incoming', 'defer'];
  return [
    ...['-kernel', `/proc/self/fd/${start.kernel}`, '-initrd', `/proc/self/fd/${start.initramfs}`],
    ...['-append', kernelArguments(spec)],
  ];
}

function disks(fds: VmmDescriptors): string[] {
  const { blank } = fds;
  const blanks = blank === null ? [] : Array<number>(fds.slots - fds.disks.length).fill(blank);
  const all = [
    // QEMU opens a disk read-only before it opens it for writing, and needs a descriptor for each.
    { set: [fds.scratch, fds.scratchReader], readonly: false },
    ...[...fds.disks, ...blanks].map((fd) => ({ set: [fd], readonly: true })),
  ];
  return all.flatMap(({ set, readonly }, slot) => [
    ...set.flatMap((fd) => ['-add-fd', `fd=${fd},set=${slot}`]),
    '-drive',
    // The scratch disk dies with the VM, so nothing needs to be flushed to the host's disk.
    `id=disk${slot},file=/dev/fdset/${slot},format=raw,if=none,${readonly ? 'readonly=on' : 'cache=unsafe'}`,
    ...['-device', `virtio-blk-device,drive=disk${slot}`],
  ]);
}

function network({ tap }: VmmDescriptors): string[] {
  if (tap === null) return [];
  return [
    ...['-netdev', `tap,id=network,fd=${tap}`],
    ...['-device', `virtio-net-device,netdev=network,mac=${guestMac}`],
  ];
}

/**
 * An emulated guest has no timer to calibrate its clock with (one boot in eight hung), so it gets the host's frequency. Mitigations
 * for a processor that does not exist only cost time there. Neither option is used under hardware virtualization.
 */
function kernelArguments(spec: VmSpec): string {
  const common = 'console=ttyS0 quiet loglevel=3 panic=-1 reboot=t random.trust_cpu=off';
  if (spec.acceleration === 'kvm') return common;
  return `${common} tsc_early_khz=${hostTscKhz()} tsc=reliable mitigations=off`;
}

function hostTscKhz(): number {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1];
  return Math.round(Number(mhz ?? 1000) * 1000);
}
