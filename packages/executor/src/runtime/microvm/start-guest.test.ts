import { duplexPair } from 'node:stream';
import {
  type GuestSockets,
  guestSocketNames,
  type LauncherSockets,
  launcherSocketNames,
} from '@fumehood/microvm';
import { beforeEach, expect, it } from 'vitest';
import { type FakeClock, fakeClock } from '../../testing/fake-clock.ts';
import { startGuest } from './start-guest.ts';
import { type AgentVm, withoutNetwork } from './vm-source.ts';

const spec = {
  ...{ id: 'j1', acceleration: 'emulated' as const, cpus: 1, memoryMiB: 256 },
  ...{ scratchMiB: 64, disks: [] },
};
const bootId = '01234567-89ab-4cde-8f01-23456789abcd';
let clock: FakeClock;
beforeEach(() => {
  clock = fakeClock();
});

/** Encodes a list of fields as a frame of the control stream, or a part of one. */
function frame(fields: readonly (string | number)[]): Buffer {
  const length = (bytes: Buffer) => {
    const number = Buffer.alloc(4);
    number.writeUInt32LE(bytes.length);
    return Buffer.concat([number, bytes]);
  };
  return length(Buffer.concat(fields.map((field) => length(Buffer.from(String(field))))));
}

/** Returns the fields of a frame that arrives in one chunk. */
function fieldsOf(chunk: Buffer): string[] {
  const fields: string[] = [];
  for (let at = 4; at < chunk.length; ) {
    const size = chunk.readUInt32LE(at);
    fields.push(chunk.toString('latin1', at + 4, at + 4 + size));
    at += 4 + size;
  }
  return fields;
}

/** Starts a clone that the test plays. `received` are the verbs of the host's messages, in order. */
function startClone() {
  const received: string[][] = [];
  let kills = 0;
  const names = [...launcherSocketNames, ...guestSocketNames];
  const pairs = names.map((name) => [name, duplexPair()] as const);
  const sockets = Object.fromEntries(pairs.map(([name, [host]]) => [name, host])) as unknown as GuestSockets &
    LauncherSockets;
  const control = new Map(pairs).get('control')?.[1];
  control?.on('data', (chunk: Buffer) => received.push(fieldsOf(chunk)));
  const vm: AgentVm = {
    ...{
      origin: { template: 'template-1' },
      sockets,
      guest: Promise.resolve(sockets),
      exited: new Promise(() => {}),
    },
    check: async () => {},
    search: () => Promise.reject(new Error('nobody searches it')),
    destroy: () => Promise.reject(new Error('the caller destroys it')),
    renew: () => {},
    kill: () => void (kills += 1),
  };
  const { signal } = new AbortController();
  const lifetime = { stopped: signal, killed: signal, deadline: () => 1e9, onRenewed() {} };
  const started = startGuest(
    { startVm: async () => vm },
    spec,
    {
      boots: false,
      ...withoutNetwork,
      async prepare(guest) {
        guest.mkdir('/prepared');
        await guest.ping();
      },
    },
    lifetime,
    clock,
    () => {},
  );
  const verbs = () => received.map(([verb]) => verb);
  const answer = (...fields: (string | number)[]) => void control?.write(frame(fields));
  return { started, received, verbs, answer, kills: () => kills };
}

it('what prepares a guest is sent behind the knock, and the guest is accepted only after its answer', async () => {
  const { started, received, verbs, answer } = startClone();
  await expect.poll(verbs).toEqual(['knock', 'mkdir', 'ping']);
  answer('knocked', received[0]?.[1] ?? '', clock.now(), '6.1.0', 'lo', bootId);
  expect((await started).facts.bootId).toBe(bootId);
  await expect.poll(verbs).toEqual(['knock', 'mkdir', 'ping', 'accept']);
  answer('pong', 1);
  await (await started).prepared;
});

it('a clone that does not confirm that it is unique is killed, and the error says so', async () => {
  const { started, verbs, kills } = startClone();
  const outcome = started.catch((error: unknown) => error);
  await expect.poll(verbs).toContain('knock');
  await clock.advance(19_999);
  expect(kills()).toBe(0);
  await clock.advance(1);
  expect(await outcome).toMatchObject({
    code: 'guest_not_ready',
    message: 'the guest did not confirm within 20 s that it is unique, so its VM was killed',
  });
  expect(kills()).toBe(1);
  expect(verbs()).not.toContain('accept');
});

it('a clone whose clock stays wrong is not accepted', async () => {
  const { started, received, verbs, answer } = startClone();
  for (let tries = 1; tries <= 5; tries++) {
    await expect.poll(() => verbs().filter((verb) => verb === 'knock').length).toBe(tries);
    const knock = received.findLast(([verb]) => verb === 'knock');
    answer('knocked', knock?.[1] ?? '', clock.now() + 501, '6.1.0', 'lo', bootId);
  }
  await expect(started).rejects.toMatchObject({
    code: 'guest_not_ready',
    message: expect.stringContaining('its clock is off by 501 ms after 5 tries'),
  });
  expect(verbs()).not.toContain('accept');
});
