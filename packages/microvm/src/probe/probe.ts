import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { type Clock, factsOf } from '@fumehood/base';
import { connectGuest } from '../channel/guest.ts';
import { canLimit } from '../jail/cgroups.ts';
import type { Acceleration, VmSpec } from '../vm/spec.ts';
import type { VmHost } from '../vm/host.ts';
import { startVm } from '../vm/start.ts';
import { kernelMissing, type KvmServer, kvmServerOfHost } from './kvm-server.ts';
import { type Finding, type HostReport, storedVerdict, storeVerdict, verdictKey } from './verdict.ts';

interface ProbeOptions extends Omit<VmHost, 'cgroups' | 'diskDirectory' | 'diskOwner'> {
  /** Path of the stored verdict. */
  readonly cacheFile: string;
  readonly clock: Clock;
  /** The guest has a named kernel (`FUMEHOOD_GUEST_KERNEL`) in place of Debian's. */
  readonly namedKernel: boolean;
  /** Boots canaries even if the stored verdict still holds. */
  readonly fresh: boolean;
  readonly onProgress: (line: string) => void;
}

/**
 * A guest that does not serve within this time hangs, ms: a cold boot takes 2 s under emulation, less on hardware, and more on the hardware
 * of a virtual machine.
 */
const bootTimeoutMs = 30_000;

/**
 * Boots a canary with hardware virtualization on a further VMM of a host that has it, unless an earlier verdict on this VMM holds.
 * Returns why no guest runs on it; null if one does.
 */
export async function probeVmm(options: ProbeOptions): Promise<string | null> {
  const key = await verdictKey(options.vmm.binary, options.guest);
  const stored = options.fresh ? null : await storedVerdict(options.cacheFile, key);
  if (stored) return null; // only a guest that ran is stored
  options.onProgress(`booting a canary on ${options.vmm.binary}`);
  const { bootMs, why } = await bootCanary(options, 'kvm', await canLimit());
  if (bootMs === null) return why;
  await storeVerdict(options.cacheFile, key, {
    accelerations: ['kvm'],
    kvm: await kvmServerOfHost(options.namedKernel),
    bootMs: { kvm: bootMs },
    findings: [],
  });
  return null;
}

/**
 * Determines what this host can run by booting a **canary**: a VM like that of any job, which must boot and answer on its channel.
 * It is not enough that `/dev/kvm` opens: on some hosts it does, and a VM is made, but a guest cannot run.
 */
export async function probeHost(options: ProbeOptions): Promise<HostReport> {
  const key = await verdictKey(options.vmm.binary, options.guest);
  const stored = options.fresh ? null : await storedVerdict(options.cacheFile, key);
  if (stored) return stored;
  const cgroups = await canLimit();
  const server = await kvmServerOfHost(options.namedKernel);
  const kvm = await tryKvm(options, cgroups, server);
  options.onProgress('booting a canary on an emulated processor');
  const emulated = await bootCanary(options, 'emulated', cgroups);
  const report: HostReport = {
    accelerations: [
      ...(kvm.bootMs === null ? [] : (['kvm'] as const)),
      ...(emulated.bootMs === null ? [] : (['emulated'] as const)),
    ],
    kvm: server,
    bootMs: {
      ...(kvm.bootMs !== null && { kvm: kvm.bootMs }),
      ...(emulated.bootMs !== null && { emulated: emulated.bootMs }),
    },
    findings: [
      kvm.finding,
      {
        check: 'emulated processor',
        ok: emulated.bootMs !== null,
        detail:
          emulated.bootMs === null
            ? `a guest did not run: ${emulated.why}`
            : `a guest booted in ${(emulated.bootMs / 1000).toFixed(1)} s`,
        ...(emulated.bootMs === null && { remedy: 'apt-get install --reinstall qemu-system-x86' }),
      },
      limitsFinding(cgroups, options.identity !== null),
    ],
  };
  await storeVerdict(options.cacheFile, key, report);
  return report;
}

async function tryKvm(
  options: ProbeOptions,
  cgroups: boolean,
  server: KvmServer,
): Promise<{ bootMs: number | null; finding: Finding }> {
  const check = server === 'pvm' ? 'virtualization by PVM' : 'hardware virtualization';
  const unusable = (detail: string, remedy: string) => ({
    bootMs: null,
    finding: { check, ok: false, detail, remedy },
  });
  const elsewhere =
    'Use a machine with hardware virtualization (bare metal, or a cloud machine with nested virtualization switched on), or accept emulation: --accept vm-emulated';
  const unnamed = kernelMissing(server, options.namedKernel);
  if (unnamed) return { bootMs: null, finding: unnamed };
  const opened = await open('/dev/kvm', constants.O_RDWR).then(
    (file) => file.close(),
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
  if (opened === 'ENOENT')
    return unusable('there is no /dev/kvm', `modprobe kvm_intel || modprobe kvm_amd. ${elsewhere}`);
  if (opened === 'EACCES')
    return unusable('/dev/kvm is not accessible to this user', 'usermod -aG kvm "$USER", and log in again');
  if (opened !== undefined) return unusable(`/dev/kvm cannot be opened (${opened})`, elsewhere);
  const { mode, gid } = await stat('/dev/kvm');
  if (options.identity && (gid === 0 || (mode & 0o060) !== 0o060))
    return unusable(
      `only root can open /dev/kvm (group ${gid}, mode ${(mode & 0o777).toString(8)}), and a virtual machine does not run as root`,
      `groupadd -f kvm && chgrp kvm /dev/kvm && chmod 660 /dev/kvm, and run the check again. ${elsewhere}`,
    );
  options.onProgress(`booting a canary on /dev/kvm${server === 'pvm' ? ', which PVM serves' : ''}`);
  const { bootMs, why } = await bootCanary(options, 'kvm', cgroups);
  if (bootMs === null) return unusable(`/dev/kvm opens, but a guest does not run on it: ${why}`, elsewhere);
  return {
    bootMs,
    finding: { check, ok: true, detail: `a guest booted in ${(bootMs / 1000).toFixed(1)} s` },
  };
}

function limitsFinding(cgroups: boolean, isRoot: boolean): Finding {
  const check = 'limits and users';
  if (!isRoot)
    return {
      check,
      ok: false,
      detail: 'without root all virtual machines share one user of this machine, and no cgroup limits them',
      remedy: 'Run Fumehood as root: whatever it runs for a job has no privileges.',
    };
  if (!cgroups)
    return {
      check,
      ok: false,
      detail: 'no cgroup with limits can be made: only its own size limits a virtual machine',
      remedy: 'mount -t cgroup2 none /sys/fs/cgroup',
    };
  return { check, ok: true, detail: 'each virtual machine has a user and a cgroup of its own' };
}

async function bootCanary(
  options: ProbeOptions,
  acceleration: Acceleration,
  cgroups: boolean,
): Promise<{ readonly bootMs: number | null; readonly why: string }> {
  const { clock } = options;
  const spec: VmSpec = {
    id: `canary-${randomBytes(4).toString('hex')}`,
    acceleration,
    cpus: 1,
    memoryMiB: 256,
    scratchMiB: 16,
    disks: [],
  };
  try {
    await access(options.vmm.binary, constants.X_OK);
    const host = { ...options, cgroups, diskDirectory: options.runDirectory, diskOwner: 0 };
    const vm = await startVm(spec, host);
    let console = '';
    vm.sockets.console.on('data', (chunk: Buffer) => {
      console = (console + chunk.toString('latin1')).slice(-2000);
    });
    const started = clock.bootTime();
    vm.sockets.lease.write(`R ${Math.floor(started + bootTimeoutMs)}\n`);
    try {
      const guest = connectGuest(await vm.guest, clock);
      guest.broken.catch(() => {});
      await Promise.race([guest.ready(bootTimeoutMs), guest.broken]);
      await Promise.race([guest.knock(), guest.broken]);
      const bootMs = clock.bootTime() - started;
      await vm.check();
      return { bootMs, why: '' };
    } catch (error) {
      // When a VMM dies, its channel breaks first.
      const exit = await Promise.race([vm.exited, clock.sleep(500).then(() => null)]);
      if (exit === null) throw error;
      const how = exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`;
      const lastWords = lastLine(exit.stderr) || lastLine(console);
      return { bootMs: null, why: `the VMM ended by itself (${how})${lastWords && `: ${lastWords}`}` };
    } finally {
      await vm.destroy();
    }
  } catch (error) {
    return { bootMs: null, why: factsOf(error).message };
  }
}

/** Returns the last line of untrusted text, without unprintable characters and cut to 200. */
function lastLine(text: string): string {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  return line.replace(/[^\x20-\x7e]/g, '').slice(0, 200);
}
