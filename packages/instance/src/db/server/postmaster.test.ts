import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureFree } from './postmaster.ts';

let data: string;
/** Starts a process that works in the data directory, as PostgreSQL does. */
let holder: ChildProcess;
beforeEach(() => {
  data = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-data-')));
  holder = spawn('sleep', ['60'], { cwd: data });
});
afterEach(() => {
  holder.kill('SIGKILL');
  rmSync(data, { recursive: true });
});

const file = (status: string) =>
  writeFileSync(
    join(data, 'postmaster.pid'),
    [holder.pid, data, 1, 5432, '/run', '', ' 1 2', status].join('\n'),
  );
/** A clock on which time passes only by sleeping; `at` is called with the time that has passed, in milliseconds. */
function clockOf(at: (ms: number) => void): Clock {
  let now = 0;
  return {
    now: () => now,
    bootTime: () => now,
    sleep: async (ms: number) => {
      now += ms;
      at(now);
    },
  };
}

test('ensureFree waits for a server that is shutting down', async () => {
  file('stopping');
  await ensureFree(
    data,
    clockOf((ms) => ms >= 30_000 && rmSync(join(data, 'postmaster.pid'), { force: true })),
  );
});

test.each([
  ['ready   ', 5_000],
  ['stopping', 60_000],
])('ensureFree refuses a server that stays %s after %i ms', async (status, patience) => {
  file(status);
  let passed = 0;
  const refused = ensureFree(
    data,
    clockOf((ms) => (passed = ms)),
  );
  await expect(refused).rejects.toMatchObject({ code: 'database_in_use' });
  expect(passed).toBeGreaterThanOrEqual(patience);
  expect(passed).toBeLessThan(patience + 1_000);
});

test('ensureFree waits for the processes of a server that was killed, which have no pid file', async () => {
  const program = join(data, 'postgres');
  symlinkSync('/usr/bin/sleep', program);
  const orphan = spawn(program, ['60'], { cwd: data });
  await once(orphan, 'spawn');
  let passed = 0;
  await ensureFree(data, {
    ...clockOf(() => {}),
    sleep: async (ms) => {
      passed += ms;
      if (passed < 1_000) return;
      orphan.kill('SIGKILL');
      await once(orphan, 'exit');
    },
  });
  expect(passed).toBe(1_000);
});

test('ensureFree removes the pid file of a server that is gone', async () => {
  file('ready   ');
  holder.kill('SIGKILL');
  await new Promise((resolve) => holder.once('exit', resolve));
  await ensureFree(
    data,
    clockOf(() => {}),
  );
  expect(existsSync(join(data, 'postmaster.pid'))).toBe(false);
});
