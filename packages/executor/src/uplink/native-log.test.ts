import { describe, expect, it } from 'vitest';
import { instanceUnreachable } from '../errors.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { openAppender } from './native-log.ts';
import { retryWhileUnreachable } from './retry.ts';

describe('the output of a phase', () => {
  it('is sent at once, then in batches, each byte at its offset', async () => {
    const clock = fakeClock();
    const sent: [number, string][] = [];
    const out = openAppender(clock, (offset, bytes) => {
      sent.push([offset, Buffer.from(bytes).toString()]);
      return Promise.resolve();
    });
    await out.write(Buffer.from('a'));
    await clock.advance(0);
    expect(sent).toEqual([[0, 'a']]);
    await out.write(Buffer.from('b'));
    await out.write(Buffer.from('c'));
    await clock.advance(49);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    expect(sent).toEqual([
      [0, 'a'],
      [1, 'bc'],
    ]);
  });

  it('makes its writer wait when the instance is slow', async () => {
    const clock = fakeClock();
    let open = () => {};
    const out = openAppender(
      clock,
      () =>
        new Promise<void>((resolve) => {
          open = resolve;
        }),
    );
    await out.write(Buffer.alloc(1));
    await clock.advance(0);
    await out.write(Buffer.alloc(200_000));
    let went = false;
    const blocked = out.write(Buffer.alloc(100_000)).then(() => {
      went = true;
    });
    await clock.advance(1_000);
    expect(went).toBe(false);
    open();
    await clock.advance(0);
    open();
    await blocked;
  });

  it('is sent again while the instance is unreachable, and given up with the lease', async () => {
    const clock = fakeClock();
    const lease = new AbortController();
    let tries = 0;
    const out = openAppender(clock, () =>
      retryWhileUnreachable(clock, lease.signal, () => {
        tries += 1;
        return tries < 3 ? Promise.reject(instanceUnreachable('test', 'down')) : Promise.resolve();
      }),
    );
    await out.write(Buffer.from('x'));
    await clock.advance(1_000);
    await out.drained();
    expect(tries).toBe(3);
    tries = -1_000;
    await out.write(Buffer.from('y'));
    await clock.advance(1_000);
    lease.abort(new Error('over'));
    await expect(out.drained()).rejects.toThrow('over');
    await expect(out.write(Buffer.from('z'))).rejects.toThrow('over');
  });
});
