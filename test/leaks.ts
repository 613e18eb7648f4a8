import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

/**
 * Sets up every test file that uses real parts: a test fails when it leaves anything on this machine. Each file has its own directory
 * for temporary files, which has to be empty at the end.
 */
const before = process.env.TMPDIR;
/** npm's cache for its next run. */
const compileCache = 'node-compile-cache';
let directory: string;
let presentBefore: Set<string>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-test-'));
  await chmod(directory, 0o711); // programs of other users read it
  process.env.TMPDIR = directory;
  presentBefore = new Set(present());
});

afterEach(async () => {
  // A killed process is visible until its parent has waited for it.
  await expect.poll(leftBehind, { timeout: 5_000 }).toEqual([]);
});

afterAll(() => {
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  const left = readdirSync(directory).filter((name) => name !== compileCache);
  expect(left, `left in ${directory}`).toEqual([]);
  rmSync(directory, { recursive: true });
  // Links of test/crash/link.ts, which may last for a whole test file.
  expect(readdirSync('/sys/class/net').filter((name) => name.startsWith('fhlink'))).toEqual([]);
});

function leftBehind(): string[] {
  return present().filter((one) => !presentBefore.has(one));
}

/** Returns the VMs, launchers, cgroups, mounts and loop devices on this machine. */
function present(): string[] {
  return [
    ...processes().filter((command) => /\0-name\0fumehood-|^\S*\/launcher[^/]*\0--lease\0/.test(command)),
    ...mountPoints(),
    ...readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' }).filter((path) =>
      /\/fumehood-[^/]+$/.test(path),
    ),
    ...readdirSync('/sys/block')
      .map((name) => read(`/sys/block/${name}/loop/backing_file`))
      .filter((file) => file.includes('fumehood')),
  ];
}

function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => read(`/proc/${pid}/cmdline`));
}

function mountPoints(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
