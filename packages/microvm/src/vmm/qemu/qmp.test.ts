import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { socketPair } from '../../testing/sockets.ts';
import type { Monitor, VmmDescriptors } from '../vmm.ts';
import { begin, openMonitor } from './qmp.ts';

const greeting = '{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7}},"capabilities":[]}}\n';
const answer = (id: number, status?: string) => `${JSON.stringify({ return: { status }, id })}\n`;
let host: Socket;
let vmm: Socket;
let monitor: Monitor;
let heard: string;

beforeEach(async () => {
  [host, vmm] = await socketPair();
  heard = '';
  vmm.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
  });
  monitor = openMonitor(host);
});
afterEach(() => {
  host.destroy();
  vmm.destroy();
});

/** Waits for this many commands of the host, and returns all so far. */
async function commands(count: number): Promise<{ execute: string; id: unknown; arguments?: unknown }[]> {
  const lines = () => heard.split('\n').filter(Boolean);
  await vi.waitUntil(() => lines().length >= count, { interval: 2 });
  return lines().map((line) => JSON.parse(line));
}
const verbs = async (count: number) => (await commands(count)).map(({ execute }) => execute);
const failed = (message: string) => ({ code: 'guest_not_ready', message: expect.stringContaining(message) });

describe('a VMM is told to begin', () => {
  it('with a guest that boots by negotiating alone', async () => {
    begin(host, { start: { kernel: 7, initramfs: 8 } });
    expect(await verbs(1)).toEqual(['qmp_capabilities']);
  });

  it('with a clone by loading the state of its template, in which there is no memory', async () => {
    begin(host, { start: { state: 9 } });
    expect(await commands(3)).toEqual([
      { execute: 'qmp_capabilities', id: 'begin' },
      {
        execute: 'migrate-set-capabilities',
        arguments: { capabilities: [{ capability: 'x-ignore-shared', state: true }] },
        id: 'begin',
      },
      { execute: 'migrate-incoming', arguments: { uri: 'fd:9' }, id: 'begin' },
    ]);
  });
});

describe('the monitor', () => {
  it('takes neither an event nor the answer to another command for an answer, and reads lines in any pieces', async () => {
    const paused = monitor.pause();
    const done = vi.fn<() => void>();
    void paused.then(done);
    const event = '{"timestamp":{"seconds":1,"microseconds":2},"event":"STOP"}\r\n';
    const others = `${event}{"return":{},"id":"begin"}\n{"return":{}}\n${answer(7)}`;
    for (const piece of `${greeting}${others}`.match(/.{1,7}|\n/gs) ?? []) vmm.write(piece);
    expect(await verbs(1)).toEqual(['stop']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).not.toHaveBeenCalled();
    vmm.write(answer(1));
    await paused;
  });

  it('saves a guest without its memory, and waits until the state was written', async () => {
    const saved = monitor.save({ stateSocket: 5 } as VmmDescriptors);
    for (const [index, status] of [undefined, undefined, 'setup', 'active', 'completed'].entries()) {
      await commands(index + 1);
      vmm.write(answer(index + 1, status));
    }
    await saved;
    expect((await commands(5)).map((command) => command.arguments)).toEqual([
      { capabilities: [{ capability: 'x-ignore-shared', state: true }] },
      { uri: 'unix:/proc/self/fd/5' },
      ...[undefined, undefined, undefined],
    ]);
  });

  it('fails to save a guest when the VMM fails', async () => {
    const saved = monitor.save({ stateSocket: 5 } as VmmDescriptors);
    for (const [index, status] of [undefined, undefined, 'failed'].entries()) {
      await commands(index + 1);
      vmm.write(answer(index + 1, status));
    }
    await expect(saved).rejects.toMatchObject(failed('saving it ended with failed'));
  });
});

describe('a VMM', () => {
  it('that answers with an error fails the call with its message, and the next call may succeed', async () => {
    const paused = monitor.pause();
    await commands(1);
    vmm.write(`${greeting}{"error":{"class":"GenericError","desc":"not now"},"id":1}\n`);
    await expect(paused).rejects.toMatchObject(failed('not now'));
    const again = monitor.pause();
    await commands(2);
    vmm.write(answer(2));
    await again;
  });

  it('that closes fails every pending call', async () => {
    const calls = Promise.allSettled([monitor.pause(), monitor.pause()]);
    await commands(2);
    vmm.destroy();
    for (const call of await calls)
      expect(call).toMatchObject({ status: 'rejected', reason: failed('its monitor closed') });
    await expect(monitor.pause()).rejects.toMatchObject(failed('its monitor is closed'));
  });

  it('that closes before its greeting fails the first call', async () => {
    vmm.destroy();
    await expect(monitor.pause()).rejects.toMatchObject(failed('its monitor closed'));
  });

  it.each([
    ['garbage', 'hello\n'],
    ['an empty line', '\n'],
    ['a list', '[]\n'],
    ['an error without a message', '{"error":{"class":"GenericError"}}\n'],
    ['an error with too long a message', `{"error":{"desc":"${'x'.repeat(1001)}"}}\n`],
    ['nesting without end', `${'['.repeat(60_000)}\n`],
    ['a line without end', 'x'.repeat(200_000)],
  ])('that sends %s is disconnected', async (_what, line) => {
    const paused = monitor.pause();
    vmm.on('error', () => {}); // it still writes after the host has closed
    vmm.write(line);
    await expect(paused).rejects.toMatchObject(failed('its monitor closed'));
    expect(host.destroyed).toBe(true);
  });
});
