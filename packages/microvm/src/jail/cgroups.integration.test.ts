import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRoot } from '../testing/launch.ts';
import { canLimit, cgroupDirectories, makeCgroup, removeCgroup } from './cgroups.ts';

const limits = { memoryBytes: 64 * 2 ** 20, pids: 16, cpus: 2 };
let name: string;
let member: ChildProcess | null = null;

beforeEach(() => {
  name = `fumehood-test-${randomInt(1e9, 1e10)}`;
});
afterEach(async () => {
  await endMember();
  await removeCgroup(name);
  expect(existing()).toEqual([]);
});

const existing = () => cgroupDirectories(name).filter((directory) => existsSync(directory));

/** Starts a process and puts it into the cgroup. */
async function addMember(procsFiles: readonly string[]): Promise<number> {
  member = spawn('sleep', ['60'], { stdio: 'ignore' });
  for (const file of procsFiles) await writeFile(file, String(member.pid));
  return member.pid as number;
}
async function endMember(): Promise<void> {
  const ended = new Promise((resolve) => member?.once('exit', resolve) ?? resolve(null));
  member?.kill('SIGKILL');
  member = null;
  await ended;
}
/** Returns the content of a limit's file under either version of cgroups; null if there is no such file. */
async function limit(file: string): Promise<string | null> {
  const path = existing()
    .map((directory) => join(directory, file))
    .find((candidate) => existsSync(candidate));
  return path === undefined ? null : (await readFile(path, 'latin1')).trim();
}

describe.skipIf(!isRoot)('a cgroup', () => {
  it('has the requested limits', async () => {
    await makeCgroup(name, limits);
    expect((await limit('memory.max')) ?? (await limit('memory.limit_in_bytes'))).toBe('67108864');
    expect(await limit('pids.max')).toBe('16');
    const [quota, period] = ((await limit('cpu.max')) ?? '').split(' ');
    expect(Number(quota || (await limit('cpu.cfs_quota_us')))).toBe(
      2 * Number(period ?? (await limit('cpu.cfs_period_us'))),
    );
  });

  it('contains a process that writes itself into its files, under every controller', async () => {
    const procsFiles = await makeCgroup(name, limits);
    const pid = await addMember(procsFiles);
    const lines = (await readFile(`/proc/${pid}/cgroup`, 'latin1')).split('\n');
    expect(lines.filter((line) => line.endsWith(`/fumehood/${name}`))).toHaveLength(procsFiles.length);
    expect(procsFiles.map((file) => dirname(file))).toEqual(cgroupDirectories(name));
  });

  it('limits the number of its processes', async () => {
    const procsFiles = await makeCgroup(name, { ...limits, pids: 4 });
    const script = `for file in "$@"; do echo 0 > "$file"; done; sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait`;
    const shell = spawn('sh', ['-c', script, 'sh', ...procsFiles], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    for await (const chunk of shell.stderr) {
      stderr += String(chunk);
      if (stderr.includes('\n')) break; // from the fourth `sleep`, which would be the fifth process
    }
    expect(stderr).toMatch(/fork/i);
    for (const file of procsFiles)
      for (const pid of (await readFile(file, 'latin1')).split('\n').filter(Boolean)) kill(Number(pid));
  });

  it('may be made twice: the later limits apply', async () => {
    await makeCgroup(name, limits);
    await makeCgroup(name, { ...limits, pids: 8 });
    expect(await limit('pids.max')).toBe('8');
  });

  it('does not exist after its removal', async () => {
    await makeCgroup(name, limits);
    expect(existing()).not.toEqual([]);
    await removeCgroup(name);
    expect(existing()).toEqual([]);
  });

  it('with a running process stays, without an error, and can be removed after the process has ended', async () => {
    const procsFiles = await makeCgroup(name, limits);
    await addMember(procsFiles);
    await removeCgroup(name);
    expect(existing()).toEqual(cgroupDirectories(name));
    await endMember();
    await removeCgroup(name);
    expect(existing()).toEqual([]);
  });

  it('that does not exist is removed without an error', async () => {
    await removeCgroup(name);
  });

  it('that the probe makes is removed', async () => {
    expect(await canLimit()).toBe(true);
    expect(cgroupDirectories(`probe-${process.pid}`).filter((directory) => existsSync(directory))).toEqual(
      [],
    );
  });
});

describe.skipIf(isRoot)('without root', () => {
  it('no cgroup can be made, and the probe reports it', async () => {
    expect(await canLimit()).toBe(false);
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // the process has ended
  }
}
