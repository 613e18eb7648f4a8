import type { Order } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { instanceUnreachable } from '../errors.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { followPushStream } from './push-stream.ts';

/** Follows a source whose streams the test makes: `open` is called for each of them. */
function setUp(open: (controller: ReadableStreamDefaultController<Uint8Array>) => void, version = () => 2) {
  const clock = fakeClock();
  const opened: number[] = [];
  const applied: Order[] = [];
  const troubles: string[] = [];
  let closed = 0;
  const ended = new AbortController();
  const source = {
    version,
    openPushStream: (signal: AbortSignal) => {
      opened.push(clock.bootTime());
      signal.addEventListener('abort', () => void closed++);
      return Promise.resolve(new ReadableStream<Uint8Array>({ start: open }));
    },
  };
  const applyOrder = (order: Order) => void applied.push(order);
  const onTrouble = (message: string) => void troubles.push(message);
  const following = followPushStream({ source, clock, applyOrder, onTrouble }, ended.signal);
  const end = async () => {
    ended.abort(new Error('the test is over'));
    await clock.advance(60_000);
    await following;
  };
  return { clock, opened, applied, troubles, closed: () => closed, end };
}
const bytes = (text: string) => new TextEncoder().encode(text);

describe('the push stream', () => {
  it('that ends at once is opened again after growing pauses, up to 10 s', async () => {
    const { clock, opened, end } = setUp((controller) => controller.close());
    await clock.advance(60_000);
    const pauses = opened.slice(1).map((at, index) => at - (opened[index] ?? 0));
    expect(pauses.slice(0, 7)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]);
    expect(new Set(pauses.slice(7))).toEqual(new Set([10_000]));
    await end();
  });

  it('that has lasted for a while is opened again without a long pause', async () => {
    const ends: (() => void)[] = [];
    const { clock, opened, end } = setUp((controller) => void ends.push(() => controller.close()));
    for (let quiet = 0; quiet < 2; quiet++) {
      await clock.advance(20_000);
      ends.at(-1)?.();
      await clock.advance(1_000);
    }
    expect(opened).toHaveLength(3);
    await end();
  });

  it('that is silent for 25 s is closed and opened again', async () => {
    const controllers: ReadableStreamDefaultController<Uint8Array>[] = [];
    const { clock, opened, closed, end } = setUp((controller) => void controllers.push(controller));
    for (let silence = 0; silence < 5; silence++) {
      await clock.advance(20_000);
      controllers[0]?.enqueue(bytes(':\n\n'));
    }
    expect(opened).toHaveLength(1);
    await clock.advance(24_900);
    expect(opened).toHaveLength(1);
    await clock.advance(400);
    expect([opened.length, closed()]).toEqual([2, 1]);
    await end();
  });

  it('is not opened while the instance speaks a version without it', async () => {
    let version = 1;
    const { clock, opened, end } = setUp(
      (controller) => controller.close(),
      () => version,
    );
    await clock.advance(60_000);
    expect(opened).toEqual([]);
    version = 2;
    await clock.advance(10_000);
    expect(opened.length).toBeGreaterThan(0);
    await end();
  });

  it('yields its orders in their sequence, however it is cut into chunks', async () => {
    const text = 'data: {"type":"work"}\n\n:\n\ndata: {"type":"drain","draining":true}\n\n';
    const { clock, applied, end } = setUp((controller) => {
      for (const one of bytes(text)) controller.enqueue(Uint8Array.of(one));
    });
    await clock.advance(1);
    expect(applied).toEqual([{ type: 'work' }, { type: 'drain', draining: true }]);
    await end();
  });

  it('that fails again and again is reported once, and once more after it has worked meanwhile', async () => {
    let successes = 0;
    const { clock, troubles, end } = setUp((controller) => {
      const trouble = instanceUnreachable('be told', 'down');
      if (successes === 0) controller.error(trouble);
      else controller.enqueue(bytes('data: {"type":"work"}\n\n'));
      successes = Math.max(0, successes - 1);
    });
    await clock.advance(40_000);
    expect(troubles).toEqual([expect.stringContaining('down')]);
    successes = 1;
    await clock.advance(120_000);
    expect(troubles).toHaveLength(2);
    await end();
  });
});
