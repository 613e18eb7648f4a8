import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cgroupDirectories, makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import { isRoot, processesNaming } from '../testing/launch.ts';
import { countLeftOver, endProcesses, type HostVm, namespacesOf, processesOf } from './leftover.ts';

const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
const uid = 1_900_125;
const hasCgroups = isRoot && cgroupDirectories('any').length > 0;
let name: string;
let directory: string;
let planted: ChildProcess[] = [];

beforeEach(async () => {
  name = `fumehood-test-${randomInt(1e9, 1e10)}`;
  directory = await mkdtemp(join(tmpdir(), 'fumehood-leftover-'));
});
afterEach(async () => {
  for (const child of planted) await end(child);
  planted = [];
  await rm(directory, { recursive: true });
});

/** Starts a process with these words in its command line. */
const plant = (...words: string[]) => plantAs(null, ...words);
/** The same as another user, or with null as the current one. */
function plantAs(user: number | null, ...words: string[]): ChildProcess {
  const child = spawn('bash', ['-c', 'read -r', ...words], {
    stdio: ['pipe', 'ignore', 'ignore'],
    ...(user !== null && { uid: user, gid: user }),
  });
  planted.push(child);
  return child;
}
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
const vm = (): HostVm => ({ name, uid: null });
const count = (namespaces = new Set<string>()) => countLeftOver(vm(), namespaces, directory);

describe('the count of what a VM left', () => {
  it('is zero when nothing is left', async () => {
    await writeFile(join(directory, 'fumehood-another.vm'), '');
    expect(count(new Set(['net:[1]']))).toEqual(nothing);
  });

  it('includes a process whose command line names the VM, until it has ended', async () => {
    const child = plant('qemu', '-name', name);
    // A shell that starts may have a second process for a moment.
    await vi.waitFor(() => expect(processesOf(vm())).toEqual([child.pid]));
    expect(count()).toEqual({ ...nothing, processes: 1 });
    await end(child);
    expect(count()).toEqual(nothing);
  });

  it.skipIf(!isRoot)(
    'cannot be raised by another user who puts the name of the VM into a command line',
    async () => {
      const asUser = (id: number) => plantAs(id, 'qemu', '-name', name);
      const stranger = asUser(uid + 1);
      await vi.waitUntil(() => processesNaming(name).includes(stranger.pid as number));
      expect(count()).toEqual(nothing);
      expect(processesOf({ name, uid })).toEqual([]);
      const own = asUser(uid);
      await vi.waitUntil(() => processesNaming(name).length === 2);
      await vi.waitFor(() => expect(processesOf({ name, uid })).toEqual([own.pid]));
      await endProcesses({ name, uid });
      expect(processesNaming(name)).toEqual([stranger.pid]);
    },
  );

  it.skipIf(!hasCgroups)(
    'includes a member of its cgroup that has changed its own command line',
    async () => {
      const [procs] = await makeCgroup(name, { memoryBytes: 2 ** 26, pids: 8, cpus: 1 });
      const child = plant('harmless');
      await writeFile(procs as string, String(child.pid));
      expect(processesOf({ name, uid })).toEqual([child.pid]);
      await endProcesses({ name, uid });
      expect(processesOf({ name, uid })).toEqual([]);
      await removeCgroup(name);
    },
  );

  it.skipIf(!isRoot)('includes a mount that has its name', async () => {
    const target = join(directory, name);
    await mkdir(target);
    execFileSync('mount', ['-t', 'tmpfs', 'none', target]);
    expect(count()).toEqual({ ...nothing, mounts: 1, files: 1 });
    execFileSync('umount', [target]);
    expect(count()).toEqual({ ...nothing, files: 1 });
  });

  it.skipIf(!isRoot || !existsSync('/dev/loop-control'))(
    'includes a loop device of one of its files',
    async () => {
      const file = join(directory, `${name}.ext4`);
      await writeFile(file, '');
      await truncate(file, 2 ** 20);
      const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
      expect(count()).toEqual({ ...nothing, loopDevices: 1, files: 1 });
      execFileSync('losetup', ['--detach', device]);
      await vi.waitFor(() => expect(count()).toEqual({ ...nothing, files: 1 }));
    },
  );

  it('includes a process that names the VM in a path', async () => {
    plant('launcher', '--cgroup', `/sys/fs/cgroup/fumehood/${name}/cgroup.procs`);
    await vi.waitUntil(() => count().processes === 1);
  });

  it('excludes processes, files and cgroups of a VM whose name begins or ends in the same way', async () => {
    const other = plant('qemu', '-name', `${name}1`, `${name}-1`, `x${name}`);
    await vi.waitUntil(() => processesNaming(`${name}1`).length === 1);
    expect(processesOf({ name: `${name}1`, uid: null })).toEqual([other.pid]);
    await writeFile(join(directory, `${name}1.ext4`), '');
    expect(count()).toEqual(nothing);
  });

  it('includes each of its files', async () => {
    for (const file of [`${name}.vm`, `${name}.ext4`]) await writeFile(join(directory, file), '');
    expect(count()).toEqual({ ...nothing, files: 2 });
  });

  it('includes a namespace as long as any process is in it', async () => {
    const child = spawn('unshare', ['--user', '--uts', 'sh', '-c', 'read -r nothing'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    planted.push(child);
    const own = new Set(namespacesOf('self'));
    const ownOfChild = () =>
      new Set(namespacesOf(child.pid as number).filter((namespace) => !own.has(namespace)));
    await vi.waitUntil(() => ownOfChild().size === 2);
    const namespaces = ownOfChild();
    expect(count(namespaces)).toEqual({ ...nothing, namespaces: 2 });
    await end(child);
    expect(count(namespaces)).toEqual(nothing);
  });

  it.skipIf(!isRoot)('includes a cgroup under every controller', async () => {
    const procsFiles = await makeCgroup(name, { memoryBytes: 2 ** 26, pids: 8, cpus: 1 });
    expect(count()).toEqual({ ...nothing, cgroups: procsFiles.length });
    await removeCgroup(name);
    expect(count()).toEqual(nothing);
  });
});

it('endProcesses kills what is left of a VM', async () => {
  const child = plant('qemu', '-name', name);
  await vi.waitUntil(() => processesNaming(name).length === 1);
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  await endProcesses(vm());
  expect(processesNaming(name)).toEqual([]);
  expect(await ended).toBe('SIGKILL');
});
