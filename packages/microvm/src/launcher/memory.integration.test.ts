import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeCgroup, ranOutOfMemory, removeCgroup } from '../jail/cgroups.ts';
import { descriptors, isRoot, type Launched, launch, processesNaming } from '../testing/launch.ts';
import { buildLauncher } from './build.ts';

/** What the launcher makes for its command, and keeps of it. */
const ids = isRoot ? ['--ids', '1900123:1900123'] : [];
let directory: string;
let launcher: string;
/** Seconds to sleep; also marks every process of a test in its command line. */
let marker: string;
let running: Launched[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-launcher-'));
  launcher = await buildLauncher(directory);
});
afterAll(() => rm(directory, { recursive: true }));
beforeEach(() => {
  marker = String(randomInt(1e9, 1e10));
});
afterEach(async () => {
  for (const launched of running) launched.kill();
  running = [];
  await vi.waitFor(() => expect(processesNaming(marker)).toEqual([]), { timeout: 20_000, interval: 20 });
});

const sleep = () => ['/usr/bin/sleep', marker];
function start(command: readonly string[], options?: Parameters<typeof launch>[2]): Launched {
  const launched = launch(launcher, command, options);
  running.push(launched);
  return launched;
}
/** Resolves with the exit code, the signal and the reason of the end. */
const endOf = async ({ status }: Launched) => (await status).trimEnd().split(' ').slice(0, 3).join(' ');

describe('the guest memory', () => {
  it('has the requested size and descriptor number, and no process can resize it', async () => {
    const launched = start(sleep(), { memoryMiB: 3 });
    launched.renew(60_000);
    const memory = await open(`/proc/${await launched.child()}/fd/${descriptors.memory}`, 'r+');
    try {
      expect((await memory.stat()).size).toBe(3 * 2 ** 20);
      for (const size of [0, 2 ** 20, 4 * 2 ** 20])
        await expect(memory.truncate(size)).rejects.toMatchObject({ code: 'EPERM' });
      await memory.write(Buffer.from('guest'), 0, 5, 3 * 2 ** 20 - 5);
      await expect(memory.write(Buffer.from('!'), 0, 1, 3 * 2 ** 20)).rejects.toMatchObject({
        code: 'EPERM',
      });
    } finally {
      await memory.close();
    }
  });
});

describe('a template', () => {
  const state = descriptors.memory + 1;
  /** Starts a command in place of a VMM, and opens what its launcher holds. */
  async function startTemplate(script: string) {
    const extra = ['--template', String(state), ...ids];
    const launched = start(['/usr/bin/sh', '-c', `${script}; exec sleep ${marker}`], { extra });
    launched.renew(60_000);
    await vi.waitUntil(() => processesNaming(marker).length === 2, { timeout: 20_000 });
    const at = (fd: number) => open(`/proc/${launched.pid}/fd/${fd}`, 'r+');
    return { launched, files: [await at(descriptors.memory), await at(state)] as const };
  }

  it('is sealed when its parent says so, after its command was killed', async () => {
    const { launched, files } = await startTemplate(`echo saved >/proc/self/fd/${state}`);
    try {
      await vi.waitUntil(async () => (await files[1].stat()).size > 0);
      launched.lease.write('S\n');
      expect(await endOf(launched)).toBe('-1 9 sealed');
      for (const file of files) {
        await expect(file.write('x', 0)).rejects.toMatchObject({ code: 'EPERM' });
        await expect(file.truncate(0)).rejects.toMatchObject({ code: 'EPERM' });
      }
    } finally {
      for (const file of files) await file.close();
    }
  });

  it('is none when its command has not saved it, or has ended by itself', async () => {
    const { launched, files } = await startTemplate('true');
    for (const file of files) await file.close();
    launched.lease.write('S\n');
    expect(await endOf(launched)).toBe('-1 9 killed');
    const script = `echo saved >/proc/self/fd/${state}`;
    const ended = start(['/usr/bin/sh', '-c', script], { extra: ['--template', String(state), ...ids] });
    ended.renew(60_000);
    expect(await endOf(ended)).toBe('0 0 exited');
  });
});

describe('the directory of a VM', () => {
  const fd = descriptors.memory + 1;

  it.skipIf(!isRoot)('belongs to the command alone, has no parent, and holds little', async () => {
    const script = [
      `cd /proc/self/fd/${fd} && stat -c '%u:%g %a' . && stat -c %i . .. | uniq | wc -l`,
      'i=0; while (: >$i) 2>/dev/null; do i=$((i + 1)); done; ls | wc -l',
      'head -c 9000 /dev/zero 2>/dev/null >0; stat -c %s 0',
      'cp /usr/bin/true 1 2>/dev/null; chmod 755 1; ./1 2>/dev/null || echo not executed',
    ].join('; ');
    const launched = start(['/usr/bin/sh', '-c', script], { extra: ['--directory', String(fd), ...ids] });
    await vi.waitUntil(() => existsSync(`/proc/${launched.pid}/fd/${fd}/.`));
    launched.renew(60_000);
    expect((await launched.status).split('\n')[0]).toBe('ready');
    const seen = (await launched.stdout).trim().split('\n');
    expect(seen).toEqual(['1900123:1900123 700', '1', '15', '4096', 'not executed']);
  });
});

describe('the memory of a template', () => {
  it.skipIf(!isRoot)(
    'that does not fit into its cgroup ends the launcher, and the cgroup knows why',
    async () => {
      const name = `fumehood-test-${marker}`;
      const procsFiles = await makeCgroup(name, { memoryBytes: 2 ** 24, pids: 16, cpus: 1 });
      try {
        const extra = [
          '--template',
          String(descriptors.memory + 1),
          ...procsFiles.flatMap((file) => ['--cgroup', file]),
        ];
        const launched = start(sleep(), { memoryMiB: 64, extra });
        expect([await launched.status, await launched.exitCode]).toEqual(['', null]); // the kernel has killed it
        expect(await ranOutOfMemory(name)).toBe(true);
      } finally {
        await removeCgroup(name);
      }
    },
  );
});
