import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ScriptedGuest, scriptedGuest } from '../testing/guest.ts';

const clock = { now: () => 0, bootTime: () => 0, sleep: async () => {} };
const ids = { id: 'index', root: '/w', uid: 1, gid: 2 };
const request = { ...ids, as: 'file' as const, path: 'index.scip', maxBytes: 100_000 };
let scripted: ScriptedGuest;

beforeEach(async () => {
  scripted = await scriptedGuest(clock);
});
afterEach(() => {
  vi.useRealTimers();
  scripted.close();
});

describe('a collected file', () => {
  it('is requested with its size limit and arrives unchanged', async () => {
    const content = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
    const file = buffer(scripted.guest.collect(request));
    expect(await scripted.receive()).toEqual({
      verb: 'collect',
      fields: ['index', '/w', '1', '2', 'index.scip', '100000'],
    });
    scripted.vm.bulk.write(content);
    scripted.send('collected', 'index', content.length, 'ok', '');
    expect((await file).equals(content)).toBe(true);
  });

  it('is requested as an archive by another verb', async () => {
    scripted.guest.collect({ ...request, as: 'archive' });
    expect(await scripted.receive()).toMatchObject({ verb: 'archive' });
  });

  it('does not end before the guest has confirmed its size', async () => {
    const file = scripted.guest.collect(request);
    const whole = text(file);
    scripted.vm.bulk.write('content');
    await vi.waitUntil(() => scripted.host.bulk.bytesRead === 7);
    expect(file.readableEnded).toBe(false);
    scripted.send('collected', 'index', 7, 'ok', '');
    expect(await whole).toBe('content');
  });

  it.each([
    ['missing', 'artifact_missing'],
    ['irregular', 'artifact_irregular'],
    ['too-big', 'artifact_too_big'],
    ['error', 'artifact_unreadable'],
  ])('with the status %s fails with %s', async (status, code) => {
    const file = text(scripted.guest.collect(request));
    scripted.send('collected', 'index', 0, status, 'the reason');
    await expect(file).rejects.toMatchObject({ code, message: expect.stringContaining('the reason') });
  });

  it('that is missing before the caller reads it fails for a later reader', async () => {
    const file = scripted.guest.collect(request);
    scripted.send('collected', 'index', 0, 'missing', 'the reason');
    await vi.waitUntil(() => file.destroyed);
    await expect(pipeline(file, new PassThrough())).rejects.toMatchObject({ code: 'artifact_missing' });
  });

  it('that is larger than allowed ends at the limit, whatever else the guest sends', async () => {
    const file = scripted.guest.collect(request);
    let bytes = 0;
    file.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const failed = once(file, 'error');
    scripted.vm.bulk.write(Buffer.alloc(10 * request.maxBytes));
    const [error] = await failed;
    expect(error).toMatchObject({ code: 'guest_protocol' });
    expect(bytes).toBeLessThanOrEqual(request.maxBytes);
  });

  it('with a missing byte breaks the protocol', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const file = text(scripted.guest.collect(request));
    file.catch(() => {}); // awaited below
    scripted.vm.bulk.write('123');
    scripted.send('collected', 'index', 4, 'ok', '');
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(10_000);
    await expect(file).rejects.toMatchObject({ code: 'guest_protocol' });
  });

  it('with one byte more than announced breaks the protocol', async () => {
    const file = text(scripted.guest.collect(request));
    file.catch(() => {}); // awaited below
    scripted.vm.bulk.write('1234');
    await vi.waitUntil(() => scripted.host.bulk.bytesRead === 4);
    scripted.send('collected', 'index', 3, 'ok', '');
    await expect(file).rejects.toMatchObject({ code: 'guest_protocol' });
  });

  it('fails when the guest ends', async () => {
    const file = text(scripted.guest.collect(request));
    scripted.vm.control.destroy();
    await expect(file).rejects.toMatchObject({ code: 'guest_not_ready' });
  });

  it('that the reader has given up does not block the next one', async () => {
    const abandoned = scripted.guest.collect(request);
    abandoned.on('error', () => {});
    scripted.vm.bulk.write(Buffer.alloc(90_000));
    await vi.waitUntil(() => scripted.host.bulk.isPaused());
    abandoned.destroy();
    scripted.send('collected', 'index', 90_000, 'ok', '');
    const pinged = scripted.guest.ping(); // the answer comes after the end of the file
    scripted.send('pong', 1);
    await pinged;
    await vi.waitUntil(() => scripted.host.bulk.bytesRead === 90_000 && !scripted.host.bulk.isPaused());
    const next = text(scripted.guest.collect({ ...request, id: 'next' }));
    scripted.vm.bulk.write('next');
    scripted.send('collected', 'next', 4, 'ok', '');
    expect(await next).toBe('next');
  });
});
