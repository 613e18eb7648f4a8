import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import {
  cgroups,
  loopDevices,
  memfds,
  mountPoints,
  processesBelow,
  socketsBelow,
  vmProcesses,
} from './audit.ts';

/**
 * Sets up every test file that uses real parts: a test fails when it leaves anything on this machine. Each file has its own directory
 * for temporary files, which has to be empty at the end.
 */
const before = process.env.TMPDIR;
/** npm's cache for its next run. */
const compileCache = 'node-compile-cache';
let directory: string;
let presentBefore: Set<string>;
let memfdsBefore: Set<string>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-test-'));
  await chmod(directory, 0o711); // programs of other users read it
  process.env.TMPDIR = directory;
  presentBefore = new Set(present());
  memfdsBefore = new Set(memfds());
});

afterEach(async () => {
  // A killed process is visible until its parent has waited for it.
  await expect.poll(leftBehind, { timeout: 5_000 }).toEqual([]);
});

afterAll(async () => {
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  const left = readdirSync(directory).filter((name) => name !== compileCache);
  expect(left, `left in ${directory}`).toEqual([]);
  // What a file needs for all of its tests has ended now, and no process, socket or memory of it is left.
  for (const end = Date.now() + 5_000; held().length > 0 && Date.now() < end; ) await sleep(50);
  expect(held()).toEqual([]);
  rmSync(directory, { recursive: true });
  // Links of test/crash/link.ts, which may last for a whole test file.
  expect(readdirSync('/sys/class/net').filter((name) => name.startsWith('fhlink'))).toEqual([]);
});

/** The cgroup of the process that serves networks lasts as long as its executor. */
const isOfExecutor = (path: string) => path.endsWith('-networks');

function held(): string[] {
  const memory = memfds().filter((one) => !memfdsBefore.has(one));
  const groups = cgroups().filter((one) => isOfExecutor(one) && !presentBefore.has(one));
  return [...processesBelow(directory), ...socketsBelow(directory), ...memory, ...groups];
}

function leftBehind(): string[] {
  return present().filter((one) => !presentBefore.has(one) && !isOfExecutor(one));
}

/** Returns the VMs, launchers, cgroups, mounts and loop devices on this machine, without the VMs of other test runs. */
function present(): string[] {
  return [...ownVmProcesses(), ...mountPoints(), ...cgroups(), ...loopDevices()];
}

/** Returns the VMMs and launchers but those of a launcher that lies in the directory of another test run. */
function ownVmProcesses(): string[] {
  const all = vmProcesses();
  const others = new Set(
    all
      .filter((command) => /^[^\0]*\/fumehood-test-/.test(command) && !command.startsWith(directory))
      .map(nameOf),
  );
  return all.filter((command) => !others.has(nameOf(command)));
}

/** Returns the name of a VM, which is on the command line of its launcher and of its VMM. */
const nameOf = (command: string) => /\0(?:-name|--id)\0(fumehood-[^\0]+)/.exec(command)?.[1] ?? command;
