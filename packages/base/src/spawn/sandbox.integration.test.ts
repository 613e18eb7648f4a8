import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compileHostile, living, plainSpawn, startParent, testIdentity } from '../testing/hostile.ts';
import { gatedSpawn, localSpawn } from './local.ts';
import type { SpawnedProcess, SpawnRequest } from './spawn.ts';

const identity = testIdentity;
const alive = () => living(identity.uid);

let root: string;
const mark = () => join(root, 'own', 'ran');

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-supervise-'));
  chmodSync(root, 0o711);
  mkdirSync(join(root, 'own'));
  chmodSync(join(root, 'own'), 0o777);
  await compileHostile(join(root, 'hostile'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => {
  for (const pid of alive()) process.kill(pid, 'SIGKILL'); // the programs that ran without the profile
  rmSync(mark(), { force: true });
});

/** Returns a request for a shell script, in a directory that it may write; `$0` is the hostile program. */
function script(text: string): SpawnRequest {
  return {
    label: 'hostile',
    program: '/bin/sh',
    args: ['-c', text, join(root, 'hostile')],
    binds: [
      { source: join(root, 'hostile'), target: join(root, 'hostile'), mode: 'ro' },
      { source: join(root, 'own'), target: join(root, 'own'), mode: 'rw' },
    ],
    cwd: join(root, 'own'),
  };
}
const startFive = 'for one in 1 2 3 4 5; do "$0" daemon >/dev/null; done; echo started';

async function started(process: SpawnedProcess): Promise<SpawnedProcess> {
  process.stdin.end();
  process.stderr.resume();
  await once(process.stdout, 'data');
  return process;
}

describe.skipIf(process.getuid?.() !== 0)('a program under the profile', () => {
  const profile = localSpawn(identity);
  const plain = plainSpawn(identity);

  it('leaves no process when it has ended', async () => {
    for (let round = 0; round < 10; round++) {
      const { exited } = await started(await profile(script(`${startFive}; exit 3`)));
      expect(await exited).toEqual({ code: 3, signal: null, timedOut: false });
      expect(alive()).toEqual([]);
    }
    await (await started(await plain(script(`${startFive}; exit 3`)))).exited;
    // The last fork may still be under way when the script has ended.
    await expect.poll(alive).toHaveLength(5);
  });

  it('leaves no process when it is killed', async () => {
    for (let round = 0; round < 10; round++) {
      const running = await started(await profile(script(`${startFive}; exec sleep 100`)));
      running.kill();
      expect(await running.exited).toEqual({ code: null, signal: 'SIGKILL', timedOut: false });
      expect(alive()).toEqual([]);
    }
    const free = await started(await plain(script(`${startFive}; exec sleep 100`)));
    free.kill();
    await free.exited;
    expect(alive()).toHaveLength(5);
  });

  it('leaves no process when it is killed at any moment of its start', async () => {
    const late = script('sleep 0.3; : > ran');
    for (let round = 0; round < 40; round++) {
      const running = await profile(late);
      await delay(round % 10);
      running.kill();
      await running.exited;
      expect(alive(), `killed after ${round % 10} ms`).toEqual([]);
    }
    await delay(400);
    expect(existsSync(mark())).toBe(false);
    await (await profile(late)).exited;
    expect(existsSync(mark())).toBe(true);
  });

  it('leaves no process when it is killed while it ends, which is no error', async () => {
    for (let round = 0; round < 40; round++) {
      const running = await profile(script('exit 0'));
      await delay(10 + (round % 20));
      running.kill();
      expect(await running.exited).toEqual(
        expect.toSatisfy(({ code, signal }) => (code === 0) !== (signal === 'SIGKILL')),
      );
      running.kill();
    }
    expect(alive()).toEqual([]);
  });

  it('leaves no process when its parent is killed', async () => {
    const orphaned = async (how: 'profile' | 'plain') => {
      const parent = startParent({ identity, request: script(`${startFive}; exec sleep 100`), how });
      await once(parent.stdout, 'data');
      // The first output comes from the script, which may not have started all its processes yet.
      await expect.poll(() => alive().length).toBeGreaterThan(5);
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    };
    await orphaned('profile');
    await expect.poll(alive).toEqual([]);
    await orphaned('plain');
    await delay(300);
    expect(alive()).toHaveLength(6);
  });

  it('leaves no process when its parent is killed before it opens the gate', async () => {
    // At these times bwrap makes its namespaces, or the program waits inside.
    for (const ms of [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 100]) {
      const parent = startParent({ identity, request: script(': > ran; sleep 100'), how: 'gated' });
      await once(parent.stdout, 'data');
      await delay(ms);
      expect(alive().length).toBeGreaterThan(0);
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await expect.poll(alive, { message: `killed after ${ms} ms` }).toEqual([]);
      expect(existsSync(mark())).toBe(false);
    }
  });

  it('leaves no process when its parent is killed just after it has opened the gate', async () => {
    for (let round = 0; round < 20; round++) {
      const parent = startParent({ identity, request: script('sleep 100'), how: 'opened' });
      await once(parent.stdout, 'data');
      await delay(round);
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await expect.poll(alive, { message: `killed after ${round} ms` }).toEqual([]);
    }
  });

  it('does not run before its gate is opened', async () => {
    const gated = await gatedSpawn(identity, null)(script(': > ran'));
    await delay(200);
    expect(existsSync(mark())).toBe(false);
    gated.open();
    expect((await gated.process.exited).code).toBe(0);
    expect(existsSync(mark())).toBe(true);
  });
});
