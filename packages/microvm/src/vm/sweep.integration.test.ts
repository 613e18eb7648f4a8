import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { jailArguments } from '../jail/bwrap.ts';
import { cgroupDirectories, makeCgroup } from '../jail/cgroups.ts';
import { buildLauncher } from '../launcher/build.ts';
import { descriptors, isRoot, type Launched, launch, processesNaming } from '../testing/launch.ts';
import { recordPath, sweepVms, writeRecord } from './sweep.ts';

const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
let programs: string;
let launcher: string;
let directory: string;
let running: Launched[] = [];

beforeAll(async () => {
  programs = await mkdtemp(join(tmpdir(), 'fumehood-launcher-'));
  launcher = await buildLauncher(programs);
});
afterAll(() => rm(programs, { recursive: true }));
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-sweep-'));
});
afterEach(async () => {
  for (const launched of running) launched.kill();
  running = [];
  await rm(directory, { recursive: true });
});

const newName = () => `fumehood-test-${randomInt(1e9, 1e10)}`;
/** Starts what `startVm` starts, with a waiting program in place of the VMM. */
async function startLikeVm(name: string): Promise<Launched> {
  await writeRecord(directory, { name, uid: null });
  const procsFiles = isRoot ? await makeCgroup(name, { memoryBytes: 2 ** 27, pids: 32, cpus: 1 }) : [];
  const command = jailArguments(['/usr/bin/sh', '-c', 'sleep 600 & sleep 600', name], {
    filter: descriptors.filter,
  });
  const launched = launch(launcher, command, { extra: procsFiles.flatMap((file) => ['--cgroup', file]) });
  running.push(launched);
  launched.renew(100_000);
  // Launcher, bubblewrap and the shell: what the shell starts does not have the name in its command line.
  await vi.waitUntil(() => processesNaming(name).length === 3, { timeout: 20_000 });
  return launched;
}
const cgroupsOf = (name: string) => cgroupDirectories(name).filter((path) => existsSync(path));

describe('a sweep', () => {
  it('finds nothing in an empty directory', async () => {
    expect(await sweepVms(directory)).toEqual({ found: 0, left: nothing });
  });

  it('kills a VM whose helper has died, and removes everything of it', async () => {
    const name = newName();
    const launched = await startLikeVm(name);
    await writeFile(join(directory, `${name}.ext4`), 'a scratch disk that was not unlinked yet');
    expect(await sweepVms(directory)).toEqual({ found: 1, left: nothing });
    await launched.status;
    expect(processesNaming(name)).toEqual([]);
    expect(cgroupsOf(name)).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('removes the record of a VM that died with its launcher', async () => {
    const name = newName();
    const launched = await startLikeVm(name);
    launched.kill();
    await vi.waitUntil(() => processesNaming(name).length === 0, { timeout: 20_000 });
    expect(cgroupsOf(name).length > 0).toBe(isRoot);
    expect(await sweepVms(directory)).toEqual({ found: 1, left: nothing });
    expect(cgroupsOf(name)).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('does not touch a VM of another directory, even if its name begins like one of this directory', async () => {
    const name = newName();
    const other = await startLikeVm(`${name}-2`);
    const record = await readFile(recordPath(directory, `${name}-2`));
    await rm(recordPath(directory, `${name}-2`)); // now the VM belongs to another directory
    await writeFile(recordPath(directory, name), '');
    expect(await sweepVms(directory)).toEqual({ found: 1, left: nothing });
    // A forked child of the shell has the shell's command line until it has executed `sleep`.
    await vi.waitFor(() => expect(processesNaming(`${name}-2`)).toHaveLength(3), { timeout: 20_000 });
    await writeFile(recordPath(directory, `${name}-2`), record);
    expect(await sweepVms(directory)).toEqual({ found: 1, left: nothing });
    await other.status; // says how the VM ended if its processes were found before the launcher
    expect(processesNaming(`${name}-2`)).toEqual([]);
  });

  it('does not touch other files', async () => {
    await writeFile(join(directory, 'helper.json'), '{}');
    expect(await sweepVms(directory)).toEqual({ found: 0, left: nothing });
    expect(await readdir(directory)).toEqual(['helper.json']);
  });
});
