import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import { isRoot } from '../testing/launch.ts';
import { countLeftOver, namespacesOf, processesNaming, waitForDeath } from './leftover.ts';

const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
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
function plant(...words: string[]): ChildProcess {
  const child = spawn('bash', ['-c', 'read -r', ...words], { stdio: ['pipe', 'ignore', 'ignore'] });
  planted.push(child);
  return child;
}
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
const count = (namespaces = new Set<string>()) => countLeftOver(name, namespaces, directory);

describe('the count of what a VM left', () => {
  it('is zero when nothing is left', async () => {
    await writeFile(join(directory, 'fumehood-another.vm'), '');
    expect(count(new Set(['net:[1]']))).toEqual(nothing);
  });

  it('includes a process whose command line names the VM, until it has ended', async () => {
    const child = plant('qemu', '-name', name);
    await vi.waitUntil(() => processesNaming(name).length === 1);
    expect(processesNaming(name)).toEqual([child.pid]);
    expect(count()).toEqual({ ...nothing, processes: 1 });
    await end(child);
    await waitForDeath(name);
    expect(count()).toEqual(nothing);
  });

  it('includes a process that names the VM in a path', async () => {
    plant('launcher', '--cgroup', `/sys/fs/cgroup/fumehood/${name}/cgroup.procs`);
    await vi.waitUntil(() => count().processes === 1);
  });

  it('excludes processes, files and cgroups of a VM whose name begins or ends in the same way', async () => {
    const other = plant('qemu', '-name', `${name}1`, `${name}-1`, `x${name}`);
    await vi.waitUntil(() => processesNaming(`${name}1`).length === 1);
    expect(processesNaming(`${name}1`)).toEqual([other.pid]);
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

describe('waitForDeath', () => {
  it('resolves when the process has ended', async () => {
    const child = plant('qemu', '-name', name);
    await vi.waitUntil(() => processesNaming(name).length === 1);
    const waited = waitForDeath(name);
    await end(child);
    await waited;
    expect(processesNaming(name)).toEqual([]);
  });

  it('gives up when the process does not end', async () => {
    plant('qemu', '-name', name);
    await vi.waitUntil(() => processesNaming(name).length === 1);
    await waitForDeath(name);
    expect(processesNaming(name)).toHaveLength(1);
  });
});
