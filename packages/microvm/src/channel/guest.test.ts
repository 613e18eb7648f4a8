import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ScriptedGuest, scriptedGuest } from '../testing/guest.ts';
import { encodeMessage } from './frame.ts';

let time: number;
const clock = { now: () => time, bootTime: () => time, sleep: async () => {} };
const hex = 'a0'.repeat(16);
let scripted: ScriptedGuest;

beforeEach(async () => {
  time = 1_000_000;
  scripted = await scriptedGuest(clock);
});
afterEach(() => scripted.close());

const broken = (code: string, message = '') =>
  expect(scripted.guest.broken).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const bootId = '01234567-89ab-4cde-8f01-23456789abcd';
/** Answers a knock as a guest whose clock is off by this many ms. */
async function answerKnock(off = 0) {
  const { verb, fields } = await scripted.receive();
  expect(verb).toBe('knock');
  scripted.send('knocked', fields[0] as string, time + off, '6.1.0', 'lo,eth0', bootId);
}

describe('before it has answered the knock', () => {
  it.each<[string, (string | number)[]]>([
    ['knocked', [hex, 1, '6.1.0', 'lo', bootId]],
    ['started', ['id']],
    ['exited', ['id', 0, 0, 0, 0, 'exit', '']],
    ['collected', ['id', 0, 'ok', '']],
    ['pong', [1]],
  ])('a guest that sends %s breaks the protocol', async (verb, fields) => {
    scripted.send(verb, ...fields);
    await broken('guest_protocol', `an unexpected ${verb}`);
  });
});

describe('readiness', () => {
  it('resolves when the guest sends ready, before or after the call', async () => {
    const asked = scripted.guest.ready(10_000);
    scripted.send('ready', 1);
    await asked;
    await scripted.guest.ready(10_000);
  });

  it('rejects with `guest_not_ready` when the guest does not send ready in time', async () => {
    await expect(scripted.guest.ready(20)).rejects.toMatchObject({ code: 'guest_not_ready' });
  });

  it('must be announced only once', async () => {
    scripted.send('ready', 1);
    scripted.send('ready', 1);
    await broken('guest_protocol', 'a second ready');
  });

  it('with another version of the protocol is refused', async () => {
    const asked = scripted.guest.ready(10_000);
    scripted.send('ready', 2);
    await expect(asked).rejects.toMatchObject({ code: 'guest_protocol' });
  });

  it('rejects when the control stream ends', async () => {
    const asked = scripted.guest.ready(10_000);
    scripted.vm.control.destroy();
    await expect(asked).rejects.toMatchObject({ code: 'guest_not_ready' });
  });
});

describe('a knock', () => {
  it('is followed by the acceptance of the guest', async () => {
    const knocking = scripted.guest.knock();
    await answerKnock(-40);
    expect(await knocking).toEqual({
      kernel: '6.1.0',
      interfaces: ['lo', 'eth0'],
      clockErrorMs: 40,
      bootId,
    });
    expect(await scripted.receive()).toEqual({ verb: 'accept', fields: [] });
  });

  it('carries a fresh nonce, the time and a fresh seed of 64 bytes', async () => {
    const knocks = [];
    for (let count = 0; count < 2; count++) {
      const other = await scriptedGuest(clock);
      other.guest.knock().catch(() => {}); // the knock stays unanswered
      knocks.push(await other.receive());
      other.close();
    }
    for (const { fields } of knocks) {
      expect(fields[0]).toMatch(/^[0-9a-f]{32}$/);
      expect(fields[1]).toBe('1000000');
      expect(fields[2]).toHaveLength(64);
    }
    expect(knocks[0]?.fields[0]).not.toBe(knocks[1]?.fields[0]);
    expect(knocks[0]?.fields[2]).not.toBe(knocks[1]?.fields[2]);
  });

  it('answered with another nonce breaks the protocol', async () => {
    const knocking = scripted.guest.knock();
    await scripted.receive();
    scripted.send('knocked', 'b1'.repeat(16), time, '6.1.0', 'lo', bootId);
    await expect(knocking).rejects.toMatchObject({ code: 'guest_protocol' });
  });

  it('answered twice breaks the protocol', async () => {
    const knocking = scripted.guest.knock();
    await answerKnock();
    await knocking;
    scripted.send('knocked', hex, time, '6.1.0', 'lo', bootId);
    await broken('guest_protocol', 'an unexpected knocked');
  });

  it('is repeated with another nonce until the clock is right; only then the guest is accepted', async () => {
    const knocking = scripted.guest.knock();
    for (const off of [501, -5_000, 500]) await answerKnock(off);
    expect((await knocking).clockErrorMs).toBe(500);
    expect((await scripted.receive()).verb).toBe('accept');
  });

  it('fails after five answers with a wrong clock, and the guest is not accepted', async () => {
    const knocking = scripted.guest.knock();
    knocking.catch(() => {}); // awaited below
    for (let tries = 0; tries < 5; tries++) await answerKnock(501);
    await expect(knocking).rejects.toMatchObject({ code: 'guest_not_ready' });
    scripted.guest.mkdir('/last'); // must be the first message after the knocks
    expect((await scripted.receive()).verb).toBe('mkdir');
  });
});

describe('the control stream', () => {
  it('assigns each pong to its ping', async () => {
    const first = scripted.guest.ping();
    const second = scripted.guest.ping();
    for (const number of ['1', '2'])
      expect(await scripted.receive()).toEqual({ verb: 'ping', fields: [number] });
    scripted.send('pong', 2);
    scripted.send('pong', 1);
    expect(await first).toBeGreaterThanOrEqual(0);
    expect(await second).toBeGreaterThanOrEqual(0);
  });

  it('with an unknown verb breaks the protocol', async () => {
    scripted.send('hello', 'world');
    await broken('guest_protocol', 'the unknown verb hello');
  });

  it('with a malformed frame breaks the protocol', async () => {
    scripted.vm.control.write(Buffer.alloc(8));
    await broken('guest_protocol', 'a frame of 0 bytes');
  });

  it("with a failed command rejects `broken` with init's message", async () => {
    scripted.guest.mount({ type: 'ext4', source: '/dev/vda', target: '/x', flags: ['ro', 'nodev'] });
    expect(await scripted.receive()).toEqual({
      verb: 'mount',
      fields: ['ext4', '/dev/vda', '/x', 'ro,nodev', ''],
    });
    scripted.send('failed', 'mount', 22, 'Invalid argument');
    await broken('guest_command_failed', 'refused mount: Invalid argument (errno 22)');
  });

  it.each([
    ['messages', encodeMessage('pong', [1])],
    ['readiness', encodeMessage('ready', [1])],
    ['bytes', Buffer.from('flood')],
  ])('that floods the host with %s is refused, and the rest is dropped', async (_what, piece) => {
    const flood = Buffer.alloc(2 ** 20, piece);
    for (let count = 0; count < 16; count++)
      await new Promise((resolve) => scripted.vm.control.write(flood, resolve));
    await broken('guest_protocol');
    await vi.waitUntil(() => scripted.host.control.bytesRead === 16 * flood.length);
    expect(scripted.host.control.readableLength).toBe(0);
  });

  it('is ignored after it has broken', async () => {
    const pinged = scripted.guest.ping();
    pinged.catch(() => {}); // awaited below
    await scripted.receive();
    scripted.send('hello');
    scripted.send('pong', 1);
    await expect(pinged).rejects.toMatchObject({
      code: 'guest_protocol',
      message: expect.stringContaining('hello'),
    });
  });
});
