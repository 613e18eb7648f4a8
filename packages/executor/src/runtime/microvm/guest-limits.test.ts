import { describe, expect, it } from 'vitest';
import { guestSilent } from '../../errors.ts';
import { fakeClock } from '../../testing/fake-clock.ts';
import { withinTime } from './guest-limits.ts';

function setUp() {
  const clock = fakeClock();
  const work = Promise.withResolvers<string>();
  let kills = 0;
  const vm = { kill: () => void (kills += 1) };
  const result = withinTime(clock, vm, 1_000, work.promise, () => guestSilent('end', 1_000));
  const outcome = result.catch((error: unknown) => (error as { code: string }).code);
  return { clock, work, outcome, kills: () => kills };
}

describe('what a guest has to do within a time', () => {
  it('kills the VM when the time is over, whatever the guest does later', async () => {
    const { clock, work, outcome, kills } = setUp();
    await clock.advance(999);
    expect(kills()).toBe(0);
    await clock.advance(1);
    expect(await outcome).toBe('guest_silent');
    expect(kills()).toBe(1);
    work.reject(new Error('the control stream ended'));
    await clock.advance(10_000);
    expect(kills()).toBe(1);
  });

  it('leaves the VM alone when it is done in time', async () => {
    const { clock, work, outcome, kills } = setUp();
    await clock.advance(500);
    work.resolve('done');
    expect(await outcome).toBe('done');
    await clock.advance(10_000);
    expect(kills()).toBe(0);
  });

  it('rejects with the error of the guest, and leaves the VM to the caller', async () => {
    const { clock, work, outcome, kills } = setUp();
    work.reject(guestSilent('answer', 5));
    expect(await outcome).toBe('guest_silent');
    await clock.advance(10_000);
    expect(kills()).toBe(0);
  });
});
