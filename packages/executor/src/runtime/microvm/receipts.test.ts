import { FumehoodError } from '@fumehood/base';
import type { Receipt, ReceiptsRequest } from '@fumehood/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { instanceRefused } from '../../errors.ts';
import { type FakeClock, fakeClock } from '../../testing/fake-clock.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import { type JobReceipts, openReceipts } from './receipts.ts';

const receipt = (facts: Partial<Receipt> = {}): Receipt => ({
  ...{ at: 0, kind: 'connection', name: null, address: '1.1.1.1', port: 443, serverName: null },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule: 'public', reason: null, ...facts },
});

type Batch = Omit<ReceiptsRequest, 'executorName' | 'jobId'>;
let clock: FakeClock;
let batches: Batch[];
/** What the instance does with a batch. */
let answer: (batch: Batch, signal: AbortSignal) => Promise<void>;
let logged: string[];
let lost: AbortController;

beforeEach(() => {
  clock = fakeClock();
  batches = [];
  logged = [];
  lost = new AbortController();
  answer = async () => {};
});

function open({ native = true, redactions = {} } = {}): JobReceipts {
  const client: Partial<JobClient> = {
    native,
    redactions,
    async receipts(batch, signal) {
      batches.push(batch);
      await answer(batch, signal);
    },
    addEntry: async ({ key, command }) => logged.push(`${key} ${command.join()}`),
    append: async (_entry, _stream, _offset, bytes) => void logged.push(Buffer.from(bytes).toString()),
    updateEntry: async (_entry, _facts, state) => {
      if ('out' in state) logged.push(state.out);
    },
  };
  return openReceipts(client as JobClient, { mode: 'public' }, clock, lost.signal);
}
const sequences = () => batches.map(({ receipts }) => receipts.map(({ seq }) => seq));
/** Ends the receipts, which waits on the clock. Returns how long that took, ms. */
async function end(receipts: JobReceipts): Promise<number> {
  const from = clock.now();
  const ended: number[] = [];
  const ending = receipts.end().then(() => void ended.push(clock.now()));
  for (let ms = 0; ms < 10_000 && ended.length === 0; ms += 100) await clock.advance(100);
  await ending;
  return (ended[0] ?? Number.NaN) - from;
}

describe('receipts', () => {
  it('are sent at once after a pause, at most every second, and the last ones before the end', async () => {
    const receipts = open();
    receipts.add(receipt());
    await clock.advance(0);
    for (let count = 0; count < 3; count += 1) receipts.add(receipt());
    await clock.advance(999);
    expect(sequences()).toEqual([[0]]);
    await clock.advance(1);
    expect(sequences()).toEqual([[0], [1, 2, 3]]);
    await clock.advance(5_000);
    receipts.add(receipt());
    await clock.advance(0);
    receipts.add(receipt());
    await end(receipts);
    expect(sequences()).toEqual([[0], [1, 2, 3], [4], [5]]);
    expect(batches.map(({ ended }) => ended)).toEqual([false, false, false, true]);
    expect(batches[0]?.policy).toEqual({ mode: 'public' });
    expect(logged).toEqual([]);
  });

  it('are said to have ended also when there were none', async () => {
    await end(open());
    expect(batches).toEqual([{ policy: { mode: 'public' }, receipts: [], ended: true }]);
  });

  it('take no more memory while the instance is away, and keep the first and the last', async () => {
    const away = Promise.withResolvers<void>();
    answer = () => away.promise;
    const receipts = open();
    for (let count = 0; count < 10_000; count += 1) receipts.add(receipt());
    await clock.advance(60_000);
    expect(batches).toHaveLength(1);
    away.resolve();
    await end(receipts);
    const sent = sequences().flat();
    expect(sent.length).toBeLessThanOrEqual(1_500);
    expect(sent.slice(0, 500)).toEqual(Array.from({ length: 500 }, (_, seq) => seq));
    expect(sent.slice(-500)).toEqual(Array.from({ length: 500 }, (_, seq) => 9_500 + seq));
    for (const { receipts: batch } of batches) expect(batch.length).toBeLessThanOrEqual(500);
  });

  it('do not hold up the end of a job for more than three seconds', async () => {
    answer = (_batch, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const receipts = open();
    receipts.add(receipt());
    expect(await end(receipts)).toBe(3_000);
    expect(logged).toEqual([]);
  });

  it('of a lost lease are sent to nobody', async () => {
    const receipts = open();
    lost.abort(new FumehoodError({ code: 'lease_lost', message: 'lost' }));
    receipts.add(receipt());
    await end(receipts);
    expect(batches).toEqual([]);
    expect(logged).toEqual([]);
  });

  it.each([
    ['an instance of upstream', { native: false }],
    ['an instance of an older version', {}],
  ])('for %s are lines of a log entry, with one for those that were left out', async (_who, options) => {
    answer = async () => {
      throw instanceRefused('send receipts', 404, 'there is no such route');
    };
    const receipts = open(options);
    for (let at = 0; at < 5_000; at += 1) receipts.add(receipt({ at }));
    await end(receipts);
    expect(batches).toHaveLength('native' in options ? 0 : 1);
    expect(logged[0]).toBe('network public');
    const text =
      'native' in options ? logged.at(-1)?.replaceAll(/^stdout: /gm, '') : logged.slice(1).join('');
    const lines = String(text)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(1_001);
    expect(lines[0].at).toBe(0);
    expect(lines[500]).toEqual({ dropped: 4_000 });
    expect(lines.at(-1).at).toBe(4_999);
  });

  it('have the step that ran when the guest asked, also when the answer came later', async () => {
    const receipts = open();
    const before = clock.now();
    await clock.advance(10);
    const [first, endFirst] = [clock.now(), receipts.beginStep('step.docker.0', () => {})];
    await clock.advance(10);
    endFirst();
    await clock.advance(10);
    const second = clock.now();
    receipts.beginStep('step.docker.1', () => {});
    await clock.advance(10);
    for (const at of [before, first, first + 15, second, clock.now()]) receipts.add(receipt({ at }));
    await clock.advance(0);
    await end(receipts);
    expect(batches.flatMap((batch) => batch.receipts.map(({ step }) => step))).toEqual([
      ...[null, 'step.docker.0', null, 'step.docker.1', 'step.docker.1'],
    ]);
  });

  it('do not have the values that the job wants hidden', async () => {
    const receipts = open({ redactions: { Hunter2: '[password]' } });
    const name = 'hunter2.test';
    receipts.add(receipt({ name, serverName: name, rule: `the policy does not allow the name ${name}` }));
    await end(receipts);
    expect(JSON.stringify(batches)).not.toContain('hunter2');
    expect(batches[0]?.receipts[0]).toMatchObject({
      ...{ name: '[password].test', serverName: '[password].test' },
      rule: 'the policy does not allow the name [password].test',
    });
  });
});

it('the log of the step explains each refusal once, says what to allow, and not without end', () => {
  const receipts = open();
  const told: string[] = [];
  receipts.beginStep('step.docker.0', (line) => void told.push(line));
  receipts.add(receipt());
  const lookup = { kind: 'lookup', verdict: 'refused', name: 'a.test', address: null, port: null } as const;
  receipts.add(
    receipt({ ...lookup, rule: 'the policy does not allow the name a.test', reason: 'policy_name' }),
  );
  const port = { verdict: 'refused', name: 'a.test', reason: 'policy_port' } as const;
  for (let at = 0; at < 3; at++)
    receipts.add(receipt({ ...port, at, rule: 'the policy does not allow port 443 of a.test' }));
  expect(told).toEqual([
    'fumehood: the name a.test was refused: the policy does not allow the name a.test. To allow it, add a.test to the policy of the job',
    'fumehood: 1.1.1.1:443 (a.test) was refused: the policy does not allow port 443 of a.test. To allow it, add a.test:443 to the policy of the job',
  ]);
  for (let port = 1; port < 1_000; port++) receipts.add(receipt({ verdict: 'refused', port }));
  expect(told).toHaveLength(50);
});
