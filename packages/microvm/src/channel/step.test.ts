import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ScriptedGuest, scriptedGuest } from '../testing/guest.ts';
import type { GuestStep, StepStreams } from './step.ts';

const clock = { now: () => 0, bootTime: () => 0, sleep: async () => {} };
let scripted: ScriptedGuest;

beforeEach(async () => {
  scripted = await scriptedGuest(clock);
});
afterEach(() => {
  vi.useRealTimers();
  scripted.close();
});

const facts: GuestStep = {
  ...{
    id: 'one',
    root: '/root-1',
    argv: ['sh', '-c', 'true'],
    env: ['A=1'],
    user: '',
    cwd: '/',
    hostname: 'job',
    volumes: [],
  },
  binds: [{ source: '/a', target: '/b', mode: 'ro' }],
  ...{ memoryBytes: 1, pids: 2, deadlineMs: 3, stopSignal: 15, graceMs: 4 },
};
const ignore = () => {};

/** Starts a step, has the guest confirm the start, and collects the output. */
async function startStep(streams: Partial<StepStreams> = {}, step: GuestStep = facts) {
  const taken = { stdout: '', stderr: '' };
  const take = (name: 'stdout' | 'stderr') => (chunk: Buffer) => {
    taken[name] += chunk.toString('latin1');
  };
  const exit = scripted.guest.step(step, {
    stdin: null,
    stdout: take('stdout'),
    stderr: take('stderr'),
    ...streams,
  });
  exit.catch(ignore); // awaited later
  expect((await scripted.receive()).verb).toBe('step');
  scripted.send('started', step.id);
  return { exit, taken };
}
function sendExited(stdoutBytes: number, stderrBytes: number, id = facts.id) {
  scripted.send('exited', id, 0, 0, stdoutBytes, stderrBytes, 'exit', '');
}
/** Waits without a timer: with fake timers, `vi.waitUntil` would advance the time. */
async function happens(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
const lost = (message: string) => ({ code: 'guest_protocol', message: expect.stringContaining(message) });

describe('a step', () => {
  it('is sent as pairs of key and value', async () => {
    scripted.guest.step(facts, { stdin: null, stdout: ignore, stderr: ignore }).catch(ignore);
    expect((await scripted.receive()).fields).toEqual([
      ...['one', 'root', '/root-1', 'user', '', 'cwd', '/', 'hostname', 'job'],
      ...['memory', '1', 'pids', '2', 'deadline', '3'],
      ...['stop-signal', '15', 'grace', '4', 'arg', 'sh', 'arg', '-c', 'arg', 'true'],
      ...['env', 'A=1', 'bind', '/a\0/b\0ro'],
    ]);
  });

  it('gets its stdin and, at the end, the number of bytes', async () => {
    const { exit } = await startStep({ stdin: Readable.from([Buffer.from('ab'), Buffer.from('cde')]) });
    expect(await scripted.receive()).toEqual({ verb: 'stdin-end', fields: ['one', '5'] });
    let received = '';
    scripted.vm.stdin.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    await happens(() => received === 'abcde');
    sendExited(0, 0);
    await exit;
  });

  it('keeps its two outputs apart, each byte once and in order, in any interleaving', async () => {
    const { exit, taken } = await startStep();
    for (let count = 0; count < 100; count++) {
      scripted.vm.stdout.write(`o${count};`);
      scripted.vm.stderr.write(`e${count};`);
    }
    const expected = (letter: string) =>
      Array.from({ length: 100 }, (_, count) => `${letter}${count};`).join('');
    sendExited(expected('o').length, expected('e').length);
    expect(await exit).toMatchObject({ code: 0, signal: 0, reason: 'exit', message: '' });
    expect(taken).toEqual({ stdout: expected('o'), stderr: expected('e') });
  });

  it('ends only when the sink has taken its last byte', async () => {
    const slow = Promise.withResolvers<void>();
    const { exit } = await startStep({ stdout: () => slow.promise });
    scripted.vm.stdout.write('x');
    sendExited(1, 0);
    const seen = vi.fn<() => void>();
    void exit.then(seen);
    await vi.waitUntil(() => scripted.host.stdout.isPaused());
    expect(seen).not.toHaveBeenCalled();
    slow.resolve();
    await exit;
  });

  it('fails with the error of a sink', async () => {
    const { exit } = await startStep({
      stderr: () => {
        throw new Error('the log is full');
      },
    });
    scripted.vm.stderr.write('x');
    await expect(exit).rejects.toThrow('the log is full'); // although the step has not ended
  });

  it('fails with the error of its stdin, and the end of stdin is not announced', async () => {
    const stdin = new Readable({ read: ignore });
    const { exit } = await startStep({ stdin });
    stdin.push('half');
    await happens(() => scripted.vm.stdin.read() !== null);
    stdin.destroy(new Error('the instance does not answer'));
    await expect(exit).rejects.toThrow('the instance does not answer');
    scripted.guest.mkdir('/next');
    expect((await scripted.receive()).verb).toBe('mkdir'); // no stdin-end came before it
  });

  it('is asked to end by its id, and ends when the guest says so', async () => {
    const { exit } = await startStep();
    await scripted.receive(); // the end of its stdin
    scripted.guest.stopStep('one');
    expect(await scripted.receive()).toEqual({ verb: 'stop', fields: ['one'] });
    scripted.send('exited', 'one', 7, 0, 0, 0, 'exit', '');
    expect(await exit).toMatchObject({ code: 7, reason: 'exit' });
  });

  it('runs after another one', async () => {
    for (const id of ['one', 'two']) {
      const { exit, taken } = await startStep({}, { ...facts, id });
      scripted.vm.stdout.write(id);
      sendExited(3, 0, id);
      await exit;
      expect(taken.stdout).toBe(id);
      expect((await scripted.receive()).verb).toBe('stdin-end');
    }
  });
});

describe('announced bytes', () => {
  it.each(['stdout', 'stderr'] as const)(
    'that are missing on %s break the protocol after five seconds',
    async (name) => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      const { exit, taken } = await startStep();
      scripted.vm[name].write('123');
      await happens(() => taken[name] === '123');
      sendExited(name === 'stdout' ? 4 : 0, name === 'stderr' ? 4 : 0);
      await happens(() => vi.getTimerCount() > 0);
      let over = false;
      exit.catch(() => {
        over = true;
      });
      await vi.advanceTimersByTimeAsync(4_000);
      expect(over).toBe(false);
      await vi.advanceTimersByTimeAsync(1_000);
      await expect(exit).rejects.toMatchObject(lost('less output'));
    },
  );

  it('that arrive late, one after the other, are waited for', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { exit, taken } = await startStep();
    sendExited(3, 0);
    for (let count = 1; count <= 3; count++) {
      await vi.advanceTimersByTimeAsync(4_000);
      scripted.vm.stdout.write('x');
      await happens(() => taken.stdout.length === count);
    }
    await exit;
  });

  it('that a slow sink has not taken yet are not missing', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const slow = Promise.withResolvers<void>();
    const { exit } = await startStep({ stdout: () => slow.promise });
    scripted.vm.stdout.write('x');
    sendExited(1, 0);
    await happens(() => scripted.host.stdout.isPaused());
    await vi.advanceTimersByTimeAsync(60_000);
    slow.resolve();
    expect((await exit).reason).toBe('exit');
  });
});

describe('the protocol is broken by', () => {
  it.each(['stdout', 'stderr'] as const)('one byte more on %s than was announced', async (name) => {
    const { exit } = await startStep();
    await new Promise((resolve) => scripted.vm[name].write('1234', resolve));
    sendExited(name === 'stdout' ? 3 : 0, name === 'stderr' ? 3 : 0);
    await expect(exit).rejects.toMatchObject(lost('more output'));
  });

  it('output while no step runs', async () => {
    scripted.vm.stdout.write('stray');
    await vi.waitUntil(() => scripted.host.stdout.bytesRead === 5);
    const { exit } = await startStep();
    sendExited(0, 0);
    await expect(exit).rejects.toMatchObject(lost('5 bytes of output while nothing was running'));
  });

  it('an end before the start', async () => {
    const exit = scripted.guest.step(facts, { stdin: null, stdout: ignore, stderr: ignore });
    sendExited(0, 0);
    scripted.send('started', 'one');
    await expect(exit).rejects.toMatchObject(lost('exited'));
  });

  it.each<[string, () => void]>([
    ['a second start', () => scripted.send('started', 'one')],
    ['the start of another step', () => scripted.send('started', 'two')],
    ['the end of another step', () => sendExited(0, 0, 'two')],
    ['an answer to no question', () => scripted.send('collected', 'one', 0, 'ok', '')],
  ])('%s while it runs', async (_what, speak) => {
    const { exit } = await startStep();
    speak();
    await expect(exit).rejects.toMatchObject(lost('an unexpected'));
  });

  it('a second end', async () => {
    const { exit } = await startStep();
    sendExited(0, 0);
    await exit;
    sendExited(0, 0);
    await expect(scripted.guest.broken).rejects.toMatchObject(lost('an unexpected exited'));
  });

  it('garbage in place of the start, which fails this step alone', async () => {
    const exit = scripted.guest.step(facts, { stdin: null, stdout: ignore, stderr: ignore });
    scripted.vm.control.write(Buffer.alloc(4));
    await expect(exit).rejects.toMatchObject(lost('a frame of 0 bytes'));
    // An unhandled rejection would end the whole executor; the test runner reports it as an error.
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('the end of the VM', () => {
  it('ends the running step', async () => {
    const { exit } = await startStep({ stdin: new Readable({ read: ignore }) });
    for (const socket of Object.values(scripted.vm)) socket.destroy();
    await expect(exit).rejects.toMatchObject({ code: 'guest_not_ready' });
  });
});
