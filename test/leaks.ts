import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

/**
 * Set-up of every test file with real parts: what a test leaves on this machine fails it. Temporary files go to a directory of
 * the file's own, which has to be empty in the end.
 */
const before = process.env.TMPDIR;
/** npm's own, which is for its next run. */
const compileCache = 'node-compile-cache';
let own: string;
let found: Set<string>;

beforeAll(async () => {
  own = mkdtempSync(join(tmpdir(), 'fumehood-test-'));
  await chmod(own, 0o711); // programs of another user work in there
  process.env.TMPDIR = own;
  found = new Set(present());
});

afterEach(async () => {
  // A process that was killed is seen for as long as it takes to be waited for.
  await expect.poll(leftBehind, { timeout: 5_000 }).toEqual([]);
});

afterAll(() => {
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  const left = readdirSync(own).filter((name) => name !== compileCache);
  expect(left, `left in ${own}`).toEqual([]);
  rmSync(own, { recursive: true });
  // Links of test/crash/link.ts, which may be for a file as a whole.
  expect(readdirSync('/sys/class/net').filter((name) => name.startsWith('gbx'))).toEqual([]);
});

function leftBehind(): string[] {
  return present().filter((one) => !found.has(one));
}

/** Virtual machines, their launchers and cgroups, mounts, loop devices. */
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
