import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { socketPair } from '../../testing/sockets.ts';
import { type Monitor, openMonitor } from './qmp.ts';

const greeting = '{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7}},"capabilities":[]}}\n';
const success = '{"return":{}}\n';
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
async function commands(count: number): Promise<string[]> {
  const lines = () => heard.split('\n').filter(Boolean);
  await vi.waitUntil(() => lines().length >= count, { interval: 2 });
  return lines().map((line) => (JSON.parse(line) as { execute: string }).execute);
}
const failed = (message: string) => ({ code: 'guest_not_ready', message: expect.stringContaining(message) });

describe('the monitor', () => {
  it('negotiates once, before the first command', async () => {
    vmm.write(greeting);
    const paused = monitor.pause();
    expect(await commands(1)).toEqual(['qmp_capabilities']);
    vmm.write(success);
    expect(await commands(2)).toEqual(['qmp_capabilities', 'stop']);
    vmm.write(success);
    await paused;
    const again = monitor.pause();
    expect(await commands(3)).toEqual(['qmp_capabilities', 'stop', 'stop']);
    vmm.write(success);
    await again;
  });

  it('does not take an event for an answer, and reads lines in any pieces', async () => {
    const paused = monitor.pause();
    const done = vi.fn<() => void>();
    void paused.then(done);
    const event = '{"timestamp":{"seconds":1,"microseconds":2},"event":"STOP"}\r\n';
    for (const piece of [...(`${greeting}${event}${success}`.match(/.{1,7}|\n/gs) ?? [])]) vmm.write(piece);
    await commands(2);
    vmm.write(`${event}${event}`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).not.toHaveBeenCalled();
    vmm.write(success);
    await paused;
  });
});

describe('a VMM', () => {
  it('that answers with an error fails the call with its message, and the next call may succeed', async () => {
    const paused = monitor.pause();
    vmm.write(`${greeting}${success}`);
    await commands(2);
    vmm.write('{"error":{"class":"GenericError","desc":"not now"}}\n');
    await expect(paused).rejects.toMatchObject(failed('not now'));
    const again = monitor.pause();
    await commands(3);
    vmm.write(success);
    await again;
  });

  it('that refuses to negotiate fails every call', async () => {
    vmm.write(`${greeting}{"error":{"desc":"no"}}\n`);
    await expect(monitor.pause()).rejects.toMatchObject(failed('no'));
    await expect(monitor.pause()).rejects.toMatchObject(failed('no'));
  });

  it('that closes fails every pending call', async () => {
    const calls = Promise.allSettled([monitor.pause(), monitor.pause()]);
    vmm.write(`${greeting}${success}`);
    await commands(3);
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
