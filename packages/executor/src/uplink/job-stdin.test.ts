import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { FumehoodError } from '@fumehood/base';
import { sizeFrame, typedFrames } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import type { JobClient } from './job-client.ts';
import { openJobStdin, terminalDecoder } from './job-stdin.ts';

const never = new AbortController().signal;

/** A client of a job with this input, whose next request after it waits until it is aborted. */
function clientOf(parts: readonly { bytes: Buffer; end: boolean }[]) {
  const waiting: AbortSignal[] = [];
  const offsets: number[] = [];
  const input: JobClient['input'] = (offset, signal) => {
    const part = parts[offsets.push(offset) - 1];
    if (part) return Promise.resolve(part);
    waiting.push(signal);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  };
  return { client: { input } as JobClient, offsets, waiting };
}

it('the bytes come from one offset to the next, also after an answer without any, until the end', async () => {
  const parts = ['ab', '', 'c', ''].map((text, at) => ({ bytes: Buffer.from(text), end: at === 3 }));
  const { client, offsets } = clientOf(parts);
  expect(String(await buffer(openJobStdin(client, never)))).toBe('abc');
  expect(offsets).toEqual([0, 2, 2, 3]);
});

it('a step that ends before its stdin ends the request that waits for more', async () => {
  const { client, waiting } = clientOf([{ bytes: Buffer.from('a'), end: false }]);
  const stdin = openJobStdin(client, never);
  const read = stdin[Symbol.asyncIterator]();
  await read.next();
  const next = read.next().catch((error: unknown) => error);
  await expect.poll(() => waiting.length).toBe(1);
  stdin.destroy();
  await once(stdin, 'close', { signal: AbortSignal.timeout(2_000) });
  await next;
  expect(waiting[0]?.aborted).toBe(true);
});

it('a job that has to stop gets no more stdin, and its step may go on', async () => {
  const { client, waiting } = clientOf([]);
  const stopped = new AbortController();
  const stdin = openJobStdin(client, stopped.signal);
  const read = buffer(stdin).catch((error: unknown) => error);
  await expect.poll(() => waiting.length).toBe(1);
  stopped.abort(new Error('canceled'));
  await new Promise((resolve) => setImmediate(resolve));
  expect({ destroyed: stdin.destroyed, ended: stdin.readableEnded }).toEqual({
    destroyed: false,
    ended: false,
  });
  stdin.destroy();
  await read;
});

it.each([
  [
    'an answer that the lease is over leaves the stream open: the next heartbeat says why',
    'lease_lost',
    false,
  ],
  ['any other error is one of the stream', 'instance_refused', true],
])('%s', async (_what, code, destroyed) => {
  const input = () => Promise.reject(new FumehoodError({ code, message: 'x' }));
  const stdin = openJobStdin({ input } as unknown as JobClient, never);
  const read = buffer(stdin).catch((error: unknown) => error);
  await new Promise((resolve) => setImmediate(resolve));
  expect(stdin.destroyed).toBe(destroyed);
  stdin.destroy();
  await read;
});

it('the stdin of a terminal is what was typed, and the last size of each part is passed on', async () => {
  const parts = [
    Buffer.concat([typedFrames(Buffer.from('ls\n')), sizeFrame({ rows: 1, columns: 2 })]),
    Buffer.concat([sizeFrame({ rows: 3, columns: 4 }), sizeFrame({ rows: 50, columns: 100 })]),
    typedFrames(Buffer.from('exit\n')),
    Buffer.alloc(0),
  ];
  const { client } = clientOf(parts.map((bytes, at) => ({ bytes, end: at === 3 })));
  const sizes: object[] = [];
  const decode = terminalDecoder((size) => sizes.push(size));
  expect(String(await buffer(openJobStdin(client, never, decode)))).toBe('ls\nexit\n');
  expect(sizes).toEqual([
    { rows: 1, columns: 2 },
    { rows: 50, columns: 100 },
  ]);
});

it.each([
  ['no frame', Buffer.from('ls\n')],
  ['a size of 65,535 rows', Buffer.from([1, 0, 4, 0xff, 0xff, 0, 80])],
])('%s on the stdin of a terminal is refused', async (_what, bytes) => {
  const { client } = clientOf([{ bytes, end: false }]);
  const stdin = openJobStdin(
    client,
    never,
    terminalDecoder(() => {
      throw new Error('no size came');
    }),
  );
  await expect(buffer(stdin)).rejects.toMatchObject({ code: 'job_refused' });
});
