import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { type Clock, factsOf } from '@fumehood/base';
import { connectGuest } from '../channel/guest.ts';
import { canLimit } from '../jail/cgroups.ts';
import type { Acceleration, VmSpec } from '../vm.ts';
import { startVm, type VmHost } from '../vmm/start.ts';
import { type Finding, type HostReport, storedVerdict, storeVerdict, verdictKey } from './verdict.ts';

export interface ProbeOptions extends Omit<VmHost, 'cgroups' | 'diskDirectory' | 'diskOwner'> {
  /** Where the verdict is kept. */
  readonly cacheFile: string;
  readonly clock: Clock;
  /** Boots a canary even if the stored verdict still holds. */
  readonly fresh: boolean;
  readonly onProgress: (line: string) => void;
}

/** A guest that is not there by then never comes: a cold boot takes 2 s emulated, less with hardware. */
const patienceMs: Readonly<Record<Acceleration, number>> = { kvm: 10_000, emulated: 30_000 };

/**
 * Finds out what this host can run by running it: a **canary**, a VM like any job's, must boot, answer on its channel and be gone
 * afterwards. That `/dev/kvm` opens says nothing: there are hosts where it does, a VM is made, and a guest cannot run.
 */
export async function probeHost(options: ProbeOptions): Promise<HostReport> {
  const key = await verdictKey(options.vmm.binary, options.guest);
  const stored = options.fresh ? null : await storedVerdict(options.cacheFile, key);
  if (stored) return stored;
  const cgroups = await canLimit();
  const kvm = await tryKvm(options, cgroups);
  options.onProgress('booting a canary on an emulated processor');
  const emulated = await canary(options, 'emulated', cgroups);
  const report: HostReport = {
    accelerations: [
      ...(kvm.bootMs === null ? [] : (['kvm'] as const)),
      ...(emulated.bootMs === null ? [] : (['emulated'] as const)),
    ],
    bootMs: {
      ...(kvm.bootMs !== null && { kvm: kvm.bootMs }),
      ...(emulated.bootMs !== null && { emulated: emulated.bootMs }),
    },
    findings: [
      kvm.finding,
      {
        check: 'emulated processor',
        good: emulated.bootMs !== null,
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
): Promise<{ bootMs: number | null; finding: Finding }> {
  const check = 'hardware virtualization';
  const none = (detail: string, remedy: string) => ({
    bootMs: null,
    finding: { check, good: false, detail, remedy },
  });
  const elsewhere =
    'Use a machine with hardware virtualization (bare metal, or a cloud machine with nested virtualization switched on), or accept emulation: --accept vm-emulated';
  const opened = await open('/dev/kvm', constants.O_RDWR).then(
    (file) => file.close(),
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
  if (opened === 'ENOENT')
    return none('there is no /dev/kvm', `modprobe kvm_intel || modprobe kvm_amd. ${elsewhere}`);
  if (opened === 'EACCES')
    return none('/dev/kvm is not accessible to this user', 'usermod -aG kvm "$USER", and log in anew');
  if (opened !== undefined) return none(`/dev/kvm cannot be opened (${opened})`, elsewhere);
  const { mode, gid } = await stat('/dev/kvm');
  if (options.identity && (gid === 0 || (mode & 0o060) !== 0o060))
    return none(
      `/dev/kvm is closed to everybody but root (group ${gid}, mode ${(mode & 0o777).toString(8)}), and a virtual machine does not run as root`,
      `groupadd -f kvm && chgrp kvm /dev/kvm && chmod 660 /dev/kvm, and look again. ${elsewhere}`,
    );
  options.onProgress('booting a canary on /dev/kvm');
  const { bootMs, why } = await canary(options, 'kvm', cgroups);
  if (bootMs === null) return none(`/dev/kvm opens, but a guest does not run on it: ${why}`, elsewhere);
  return {
    bootMs,
    finding: { check, good: true, detail: `a guest booted in ${(bootMs / 1000).toFixed(1)} s` },
  };
}

function limitsFinding(cgroups: boolean, root: boolean): Finding {
  const check = 'limits and users';
  if (!root)
    return {
      check,
      good: false,
      detail: 'without root all virtual machines share one user of this machine, and no cgroup bounds them',
      remedy: 'Run Fumehood as root: it gives up every privilege for everything that runs for a job.',
    };
  if (!cgroups)
    return {
      check,
      good: false,
      detail: 'no cgroup with limits can be made: a virtual machine is bounded by its own size only',
      remedy: 'mount -t cgroup2 none /sys/fs/cgroup',
    };
  return { check, good: true, detail: 'each virtual machine has a user and a cgroup of its own' };
}

async function canary(
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
    const guest = connectGuest(vm.sockets, clock);
    guest.broken.catch(() => {});
    let console = '';
    vm.sockets.console.on('data', (chunk: Buffer) => {
      console = (console + chunk.toString('latin1')).slice(-2000);
    });
    const started = clock.bootTime();
    const limit = patienceMs[acceleration];
    vm.sockets.lease.write(`R ${Math.floor(started + limit)}\n`);
    try {
      await Promise.race([guest.ready(limit), guest.broken]);
      await Promise.race([guest.knock(), guest.broken]);
      const bootMs = clock.bootTime() - started;
      await vm.check();
      return { bootMs, why: '' };
    } catch (error) {
      // The death of a VMM shows as a broken channel first.
      const exit = await Promise.race([vm.exited, clock.sleep(500).then(() => null)]);
      if (exit === null) throw error;
      const how = exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`;
      const said = lastLine(exit.complaints) || lastLine(console);
      return { bootMs: null, why: `the VMM ended by itself (${how})${said && `, saying: ${said}`}` };
    } finally {
      await vm.destroy();
    }
  } catch (error) {
    return { bootMs: null, why: factsOf(error).message };
  }
}

/** Of text that nobody vouches for: one line, printable, short. */
function lastLine(text: string): string {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  return line.replace(/[^\x20-\x7e]/g, '').slice(0, 200);
}
