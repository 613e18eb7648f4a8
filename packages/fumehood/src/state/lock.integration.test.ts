import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { type Clock, systemClock } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockState } from './lock.ts';
import { openState, type State } from './state.ts';

let root: string;
let state: State;
let holder: ChildProcess | null;
let progress: string[];
const deps = (clock: Clock = systemClock) => ({
  state,
  clock,
  onProgress: (line: string) => void progress.push(line),
});

/** A clock on which a minute passes at every sleep. */
function impatientClock(): Clock {
  let now = 0;
  return {
    ...systemClock,
    bootTime: () => now,
    async sleep() {
      now += 60_001;
    },
  };
}

/** Starts a process that takes the lock, and holds it until it is killed or reads a line. */
async function startHolder(): Promise<ChildProcess> {
  const module = (name: string) => JSON.stringify(pathToFileURL(join(import.meta.dirname, name)).href);
  const script = `
    import { lockState } from ${module('lock.ts')};
    import { openState } from ${module('state.ts')};
    import { systemClock } from ${JSON.stringify(import.meta.resolve('@fumehood/base'))};
    const state = openState({ FUMEHOOD_STATE: process.argv[1] }, 1);
    const release = await lockState({ state, clock: systemClock, onProgress: console.error });
    console.log('held');
    process.stdin.once('data', () => { release(); process.stdin.destroy(); });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, root], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  holder = child;
  await once(child.stdout, 'data');
  return child;
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-lock-'));
  state = openState({ FUMEHOOD_STATE: root }, 1);
  holder = null;
  progress = [];
});
afterEach(async () => {
  if (holder && holder.exitCode === null && holder.signalCode === null) {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  }
  await rm(root, { recursive: true, force: true });
});

describe('the lock of a state directory', () => {
  it('is held by one process; a second one learns its pid, and gives up after a while', async () => {
    const { pid } = await startHolder();
    await expect(lockState(deps(impatientClock()))).rejects.toMatchObject({
      code: 'state_busy',
      message: `another fumehood command (pid ${pid}) is starting or stopping Fumehood in ${root}`,
    });
    expect(progress).toEqual([
      `waiting for another fumehood command (pid ${pid}), which is starting or stopping Fumehood in ${root}`,
    ]);
  });

  it('goes to a waiting process when its holder unlocks it', async () => {
    const child = await startHolder();
    const ended = once(child, 'exit');
    const waiting = lockState(deps());
    child.stdin?.write('\n');
    (await waiting)();
    expect(await ended).toEqual([0, null]);
  });

  it('is free when its holder was killed', async () => {
    const child = await startHolder();
    child.kill('SIGKILL');
    await once(child, 'exit');
    (await lockState(deps(impatientClock())))();
    expect(progress).toEqual([]);
  });

  it('does not lock another state directory', async () => {
    await startHolder();
    const other = openState({ FUMEHOOD_STATE: `${root}/other` }, 1);
    await mkdir(other.root);
    (await lockState({ ...deps(impatientClock()), state: other }))();
    expect(progress).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)('cannot be held by another user', async () => {
    await chmod(root, 0o755);
    (await lockState(deps()))();
    /** Takes the lock as another user, and holds it. */
    const squat = () =>
      spawn('/usr/bin/flock', [lock, '-c', 'echo held; read line'], { uid: 65_534, gid: 65_534 });
    const lock = `${root}/lock`;
    const refused = squat();
    expect(await text(refused.stderr)).toContain('Permission denied');
    (await lockState(deps(impatientClock())))();
    // The mode of the file is what keeps the user out.
    await chmod(lock, 0o644);
    holder = squat();
    await once(holder.stdout as Readable, 'data');
    await expect(lockState(deps(impatientClock()))).rejects.toMatchObject({ code: 'state_busy' });
  });

  it('is not held on a file that was removed meanwhile', async () => {
    const child = await startHolder();
    await rm(`${root}/lock`);
    (await lockState(deps(impatientClock())))();
    expect(child.exitCode).toBeNull();
  });
});
