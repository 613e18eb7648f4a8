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
async function addMember(joins: readonly string[]): Promise<number> {
  member = spawn('sleep', ['60'], { stdio: 'ignore' });
  for (const file of joins) await writeFile(file, String(member.pid));
  return member.pid as number;
}
async function endMember(): Promise<void> {
  const ended = new Promise((resolve) => member?.once('exit', resolve) ?? resolve(null));
  member?.kill('SIGKILL');
  member = null;
  await ended;
}
/** What a limit's file of the cgroup says, under whichever tree this host has; null where there is no such file. */
async function limit(file: string): Promise<string | null> {
  const path = existing()
    .map((directory) => join(directory, file))
    .find((candidate) => existsSync(candidate));
  return path === undefined ? null : (await readFile(path, 'latin1')).trim();
}

describe.skipIf(!isRoot)('a cgroup', () => {
  it('has the limits that were asked for', async () => {
    await makeCgroup(name, limits);
    expect((await limit('memory.max')) ?? (await limit('memory.limit_in_bytes'))).toBe('67108864');
    expect(await limit('pids.max')).toBe('16');
    const [quota, period] = ((await limit('cpu.max')) ?? '').split(' ');
    expect(Number(quota || (await limit('cpu.cfs_quota_us')))).toBe(
      2 * Number(period ?? (await limit('cpu.cfs_period_us'))),
    );
  });

  it('holds whoever writes itself into its files, under every controller', async () => {
    const joins = await makeCgroup(name, limits);
    const pid = await addMember(joins);
    const lines = (await readFile(`/proc/${pid}/cgroup`, 'latin1')).split('\n');
    expect(lines.filter((line) => line.endsWith(`/fumehood/${name}`))).toHaveLength(joins.length);
    expect(joins.map((file) => dirname(file))).toEqual(cgroupDirectories(name));
  });

  it('really bounds the number of its processes', async () => {
    const joins = await makeCgroup(name, { ...limits, pids: 4 });
    const script = `for file in "$@"; do echo 0 > "$file"; done; sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait`;
    const shell = spawn('sh', ['-c', script, 'sh', ...joins], { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaints = '';
    for await (const chunk of shell.stderr) {
      complaints += String(chunk);
      if (complaints.includes('\n')) break; // of the fourth, which makes it five
    }
    expect(complaints).toMatch(/fork/i);
    for (const file of joins)
      for (const pid of (await readFile(file, 'latin1')).split('\n').filter(Boolean)) kill(Number(pid));
  });

  it('may be made twice: the later limits hold', async () => {
    await makeCgroup(name, limits);
    await makeCgroup(name, { ...limits, pids: 8 });
    expect(await limit('pids.max')).toBe('8');
  });

  it('is gone after its removal', async () => {
    await makeCgroup(name, limits);
    expect(existing()).not.toEqual([]);
    await removeCgroup(name);
    expect(existing()).toEqual([]);
  });

  it('with a living process stays, without an error, and goes with the process', async () => {
    const joins = await makeCgroup(name, limits);
    await addMember(joins);
    await removeCgroup(name);
    expect(existing()).toEqual(cgroupDirectories(name));
    await endMember();
    await removeCgroup(name);
    expect(existing()).toEqual([]);
  });

  it('that never was is removed without an error', async () => {
    await removeCgroup(name);
  });

  it('of the question whether there can be one does not stay', async () => {
    expect(await canLimit()).toBe(true);
    expect(cgroupDirectories(`probe-${process.pid}`).filter((directory) => existsSync(directory))).toEqual(
      [],
    );
  });
});

describe.skipIf(isRoot)('without root', () => {
  it('no cgroup can be made, and asking says so', async () => {
    expect(await canLimit()).toBe(false);
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
