import { describe, expect, it } from 'vitest';
import { leaseLost } from '../errors.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import type { EntryText } from './log-entry.ts';
import { upstreamPhaseLog } from './upstream-log.ts';

function phase(update?: (state: EntryText) => Promise<void>) {
  const clock = fakeClock();
  const sent: EntryText[] = [];
  const log = upstreamPhaseLog(clock, clock.bootTime(), async (state) => {
    sent.push(state);
    await update?.(state);
  });
  return { clock, sent, log };
}

describe('the log for an upstream instance', () => {
  it('is sent at once, then at most once a second, and not while it does not change', async () => {
    const { clock, sent, log } = phase();
    for (let tenth = 0; tenth < 30; tenth++) {
      await log.write('stdout', Buffer.from(`${tenth}\n`));
      await clock.advance(100);
    }
    await clock.advance(10_000);
    expect(sent.map(({ out }) => out.split('\n').length - 1)).toEqual([1, 10, 20, 30]);
    await log.end(0);
    expect(sent.at(-1)).toMatchObject({ exitCode: 0, durationMs: 13_000 });
    expect(sent).toHaveLength(5);
  });

  it('ends at once, with every byte', async () => {
    const { clock, sent, log } = phase();
    await log.write('stdout', Buffer.from('a\n'));
    await clock.advance(0);
    await log.write('stderr', Buffer.from('b'));
    await log.end(1);
    expect(sent.at(-1)).toEqual({ out: 'stdout: a\nstderr: b\n', exitCode: 1, durationMs: 0 });
  });

  it('keeps its beginning and its end when it gets long, and tells how much is left out', async () => {
    const { sent, log } = phase();
    const lines = 400_000;
    for (let line = 0; line < lines; line += 1_000) {
      const text = Array.from({ length: 1_000 }, (_, index) => `${line + index}\n`).join('');
      await log.write('stdout', Buffer.from(text));
    }
    await log.end(0);
    const out = sent.at(-1)?.out ?? '';
    expect(out.length).toBeLessThan(1_600_000);
    const [head = '', omitted, tail = ''] = out.split(/^… (\d+) characters left out …\n/m);
    expect(head.startsWith('stdout: 0\nstdout: 1\n')).toBe(true);
    expect(tail.endsWith(`stdout: ${lines - 1}\n`)).toBe(true);
    const whole = Array.from({ length: lines }, (_, line) => `stdout: ${line}\n`.length);
    expect(head.length + Number(omitted) + tail.length).toBe(whole.reduce((sum, length) => sum + length));
  });

  it('cuts a line of several megabytes into pieces', async () => {
    const { sent, log } = phase();
    await log.write('stdout', Buffer.alloc(3_000_000, 'x'));
    await log.end(0);
    expect(Math.max(...(sent.at(-1)?.out ?? '').split('\n').map((line) => line.length))).toBeLessThan(66_000);
  });

  it('contains no NUL, which PostgreSQL cannot store', async () => {
    const { sent, log } = phase();
    await log.write('stdout', Buffer.from('a\0b'));
    await log.end(0);
    expect(sent.at(-1)?.out).toBe('stdout: a\ufffdb\n');
  });

  it('rejects further output when the lease is lost', async () => {
    const { clock, log } = phase(() => Promise.reject(leaseLost('test')));
    await log.write('stdout', Buffer.from('a\n'));
    await clock.advance(0);
    await expect(log.write('stdout', Buffer.from('b\n'))).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(log.end(0)).rejects.toMatchObject({ code: 'lease_lost' });
  });
});
