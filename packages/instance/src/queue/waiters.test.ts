import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@fumehood/base';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Wakes } from '../db/wakes.ts';
import type { Leased } from './queue.ts';
import { covers, type Offer } from './offer.ts';
import { makeWaiters, type Waiters } from './waiters.ts';

const offer = (changes: Partial<Offer> = {}): Offer => ({
  executor: 'e1',
  queues: ['runs'],
  tiers: ['vm-emulated'],
  arch: 'x64',
  labels: [],
  free: { cpus: 2, memoryMiB: 2048, scratchMiB: 4096 },
  protocol: 3,
  egress: ['none', 'public'],
  ...changes,
});
const gpu = offer({ labels: ['gpu'] });
const big = offer({ free: null });

let stopping: AbortController;
let waiters: Waiters;
/** The waiting jobs, each as the label that it demands. */
let jobs: string[];
/** The executors that asked, in order. */
let asked: string[];
let announce: (count: number) => void;
let connected: (readonly string[])[];

beforeEach(() => {
  stopping = new AbortController();
  [jobs, asked, connected] = [[], [], []];
  const listeners = new Set<(count: number) => void>();
  announce = (count) => {
    for (const one of listeners) one(count);
  };
  const wakes: Wakes = {
    subscribe() {
      let pending = 0;
      let woken = () => {};
      const listener = (count: number) => {
        pending += count;
        woken();
      };
      listeners.add(listener);
      return {
        async next(ms, signal) {
          const done = new AbortController();
          if (pending === 0)
            await Promise.race([
              new Promise<void>((resolve) => {
                woken = resolve;
              }),
              systemClock.sleep(ms, AbortSignal.any([signal, done.signal])).catch(() => {}),
            ]);
          done.abort();
          const count = pending;
          pending = 0;
          return count;
        },
        close: () => listeners.delete(listener),
      };
    },
    close: async () => {},
  };
  const keepConnected = (names: readonly string[]) => connected.push(names);
  waiters = makeWaiters({ wakes, clock: systemClock, stopping: stopping.signal, keepConnected });
  return () => stopping.abort();
});

interface Waiting {
  readonly answer: Promise<Leased | null>;
  readonly leave: () => void;
}

/** Starts a request of `executor`, which gets jobs that demand one of its labels or none. */
function wait(
  executor: string,
  one = offer(),
  answers: { fails?: boolean; draining?: boolean } = {},
): Waiting {
  const gone = new AbortController();
  let times = 0;
  const ask = async () => {
    asked.push(executor);
    await sleep(1);
    times += 1;
    if (answers.fails && times > 1) throw new Error(`${executor} cannot ask`);
    if (answers.draining) return 'barred' as const;
    const place = jobs.findIndex((label) => label === '' || one.labels.includes(label));
    if (place < 0) return 'nothing' as const;
    return { token: jobs.splice(place, 1)[0] } as Leased;
  };
  const signal = AbortSignal.any([gone.signal, stopping.signal]);
  const answer = waiters.wait({ offer: { ...one, executor }, ask, waitMs: 20_000, gone: signal });
  return { answer, leave: () => gone.abort() };
}
/** Starts `count` such requests and waits until each has asked once and got nothing. */
async function idle(count: number, one = offer(), prefix = 'e'): Promise<Waiting[]> {
  const all = Array.from({ length: count }, (_, n) => wait(`${prefix}${n}`, one));
  await expect.poll(() => asked.length).toBe(count);
  await sleep(20);
  return all;
}
/** Announces jobs and waits for their leases. */
async function queue(...labels: string[]): Promise<void> {
  asked = [];
  jobs.push(...labels);
  announce(labels.length);
  await expect.poll(() => jobs.length, { timeout: 5_000, interval: 5 }).toBe(0);
  await sleep(20);
}
const leased = async (all: readonly Waiting[]) => {
  const none = Symbol('none');
  const answers = await Promise.all(all.map(({ answer }) => Promise.race([answer, sleep(1, none)])));
  return answers.filter((one) => one !== none).length;
};

describe('of 100 waiting requests', () => {
  test('only the longest waiting one asks for one job', async () => {
    const all = await idle(100);
    await queue('');
    expect(asked).toEqual(['e0']);
    await queue('');
    expect(asked).toEqual(['e1']);
    expect(await leased(all)).toBe(2);
  });

  test('ten ask for ten jobs that are announced together', async () => {
    const all = await idle(100);
    await queue(...Array.from({ length: 10 }, () => ''));
    expect(asked).toHaveLength(10);
    expect(await leased(all)).toBe(10);
  });

  test('only one asks for a job that none can run, when all offer the same', async () => {
    await idle(100);
    asked = [];
    announce(1);
    await sleep(50);
    expect(asked).toEqual(['e0']);
  });
});

describe('a hint', () => {
  test('is passed on to requests with other offers until one has leased the job', async () => {
    const plain = await idle(5);
    asked = [];
    const able = await idle(5, gpu, 'gpu');
    await queue('gpu');
    expect(asked).toEqual(['e0', 'gpu0']);
    expect([await leased(plain), await leased(able)]).toEqual([0, 1]);
  });

  test('is not lost when it comes while the request asks', async () => {
    const { answer } = wait('e1');
    await queue('');
    expect(await answer).toMatchObject({ token: '' });
  });

  test.each([
    ['cannot ask', { fails: true }],
    ['belongs to an executor that drains', { draining: true }],
  ])('is handed on by a request that %s, to one that offers the same', async (_, answers) => {
    const first = wait('first', offer(), answers);
    const refused = first.answer.catch((error: unknown) => error);
    await sleep(20);
    const second = wait('second');
    await sleep(20);
    await queue('');
    expect(asked).toEqual(['first', 'second']);
    expect(await second.answer).toMatchObject({ token: '' });
    first.leave();
    await refused;
  });

  test('is passed on by a request that ends without using it', async () => {
    const [first, second] = await idle(2);
    jobs.push('');
    announce(1);
    first?.leave();
    expect(await second?.answer).toMatchObject({ token: '' });
    expect(await first?.answer).toBeNull();
  });
});

describe('without a hint', () => {
  test('requests of every kind ask within about a second, and all jobs are leased', async () => {
    const all = [...(await idle(3)), wait('gpu', gpu)];
    await sleep(20);
    asked = [];
    jobs.push('', 'gpu', '');
    await expect.poll(() => jobs.length, { timeout: 10_000 }).toBe(0);
    expect(await leased(all)).toBe(3);
  });

  test('one request of each kind asks per second, and all executors stay connected', {
    timeout: 30_000,
  }, async () => {
    await idle(50);
    asked = [];
    await expect.poll(() => connected.length, { timeout: 20_000 }).toBe(1);
    expect(connected[0]).toHaveLength(50);
    expect(asked).toHaveLength(5);
  });
});

test('a request whose client has gone gets null', async () => {
  const [one] = await idle(1);
  one?.leave();
  expect(await one?.answer).toBeNull();
  const ask = async () => 'nothing' as const;
  const gone = new AbortController().signal;
  expect(await waiters.wait({ offer: offer(), ask, waitMs: 10, gone })).toBeNull();
});

test('an offer covers another one if every job that fits the other fits it', () => {
  const less: Partial<Offer>[] = [
    {},
    { executor: 'e2' },
    { queues: [] },
    { tiers: [] },
    { arch: null },
    { free: { cpus: 1, memoryMiB: 2048, scratchMiB: 4096 } },
    { protocol: 2 },
    { egress: ['none'] },
  ];
  const more: Partial<Offer>[] = [
    { queues: ['runs', 'codeintel'] },
    { tiers: ['container'] },
    { arch: 'arm64' },
    { labels: ['gpu'] },
    { free: null },
    { free: { cpus: 3, memoryMiB: 1, scratchMiB: 1 } },
    { free: { cpus: 1, memoryMiB: 4096, scratchMiB: 1 } },
    { free: { cpus: 1, memoryMiB: 1, scratchMiB: 8192 } },
  ];
  for (const one of less) expect(covers(offer(), offer(one)), JSON.stringify(one)).toBe(true);
  for (const one of more) expect(covers(offer(), offer(one)), JSON.stringify(one)).toBe(false);
  expect(covers(big, offer())).toBe(true);
  expect(covers(offer({ protocol: 2 }), offer())).toBe(false);
  expect(covers(offer({ egress: ['none'] }), offer())).toBe(false);
});
