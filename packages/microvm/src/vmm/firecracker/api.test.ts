import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeFirecracker } from '../../testing/fake-firecracker.ts';
import { socketPair } from '../../testing/sockets.ts';
import { type FirecrackerApi, openFirecrackerApi } from './api.ts';

let host: Socket;
let vmm: Socket;
let api: FirecrackerApi;
beforeEach(async () => {
  [host, vmm] = await socketPair();
  api = openFirecrackerApi(host);
});
afterEach(() => {
  api.close();
  vmm.destroy();
});

const machine = { vcpu_count: 2, mem_size_mib: 256, smt: false, track_dirty_pages: false } as const;
const disk = {
  drive_id: 'disk0',
  path_on_host: '/disk0',
  is_root_device: false,
  is_read_only: true,
  cache_type: 'Unsafe',
  io_engine: 'Sync',
} as const;
const failed = (message: string | RegExp) => ({
  code: 'guest_not_ready',
  message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
});

describe('on one connection, the API', () => {
  it('carries out the requests of a boot and of a snapshot', async () => {
    const fake = new FakeFirecracker(vmm);
    expect(await api.version()).toBe('1.17.0');
    await api.send('metrics', { metrics_path: '/metrics' });
    await api.send('machine', machine);
    await api.send('bootSource', { kernel_image_path: '/k', initrd_path: '/i', boot_args: 'quiet' });
    await api.send('drive', disk);
    await api.send('vsock', { guest_cid: 3, uds_path: 'v.sock' });
    await api.send('entropy', {});
    await api.send('action', { action_type: 'InstanceStart' });
    await api.send('state', { state: 'Paused' });
    const snapshot = { snapshot_path: '/state', mem_file_path: '/memory', snapshot_type: 'Full' } as const;
    await api.send('saveSnapshot', snapshot);
    expect(fake.carriedOut.map(({ name }) => name)).toEqual([
      ...['metrics', 'machine', 'bootSource', 'drive', 'vsock', 'entropy', 'action', 'state', 'saveSnapshot'],
    ]);
    expect(fake.carriedOut[3]?.body).toEqual(disk);
    expect(fake.carriedOut.at(-1)?.body).toEqual(snapshot);
  });

  it('loads a snapshot, changes a drive and resumes', async () => {
    const fake = new FakeFirecracker(vmm);
    await api.send('loadSnapshot', {
      snapshot_path: '/state',
      mem_backend: { backend_type: 'File', backend_path: '/proc/self/fd/3' },
      resume_vm: false,
    });
    await api.send('changeDrive', { drive_id: 'disk0', path_on_host: '/other' });
    await api.send('state', { state: 'Resumed' });
    expect(fake.carriedOut.map(({ name }) => name)).toEqual(['loadSnapshot', 'changeDrive', 'state']);
  });

  it('sends requests that were made at once in their order', async () => {
    const fake = new FakeFirecracker(vmm);
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((drive_id) => api.send('drive', { ...disk, drive_id })));
    expect(fake.carriedOut.map(({ body }) => body.drive_id)).toEqual(names);
  });

  it('fails a request that Firecracker refuses, with the reason, and carries out the next', async () => {
    const fake = new FakeFirecracker(vmm);
    fake.refuseNext = 'No such\u001b[2J file';
    await expect(api.send('drive', disk)).rejects.toMatchObject(
      failed('PUT /drives/disk0 failed: No such [2J file'),
    );
    await expect(api.send('state', { state: 'Paused' })).rejects.toMatchObject(
      failed('not supported in this state'),
    );
    await api.send('drive', disk);
    expect(fake.carriedOut).toHaveLength(1);
  });

  it.each<[string, object]>([
    ['an unknown field', { more: 1 }],
    ['an id that leads to another path', { drive_id: '../actions' }],
    ['a root device', { is_root_device: true }],
  ])('does not send a drive with %s', async (_, change) => {
    const fake = new FakeFirecracker(vmm);
    await expect(api.send('drive', { ...disk, ...change })).rejects.toThrow();
    await api.send('entropy', {});
    expect(fake.carriedOut.map(({ name }) => name)).toEqual(['entropy']);
  });
});

/** Plays a VMM that a guest has taken over: sends `answer` as soon as a request arrives. */
const answerWith = (answer: string) => vmm.on('error', () => {}).once('data', () => void vmm.write(answer));
const http = (body: string, status = '200 OK') =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('a VMM', () => {
  it('that closes fails what is pending and everything after', async () => {
    const calls = Promise.allSettled([api.version(), api.send('entropy', {})]);
    vmm.once('data', () => vmm.destroy());
    for (const call of await calls)
      expect(call).toMatchObject({ status: 'rejected', reason: failed(/closed|hang up|reset/) });
    await expect(api.version()).rejects.toMatchObject(failed('closed'));
  });

  it('that closes after an answer fails the next request', async () => {
    answerWith(http('{"firecracker_version":"1.17.0"}'));
    expect(await api.version()).toBe('1.17.0');
    vmm.destroy();
    await vi.waitUntil(() => host.destroyed);
    await expect(api.version()).rejects.toMatchObject(failed('closed'));
  });

  it.each([
    ['garbage', 'hello\r\n\r\n'],
    ['headers without end', `HTTP/1.1 204 No Content\r\n${'X: y\r\n'.repeat(20_000)}`],
    ['too long a body', http('x'.repeat(200_000))],
    [
      'a body that never ends',
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`8000\r\n${'x'.repeat(32_768)}\r\n`.repeat(8)}`,
    ],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['nothing but interim answers', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(10_000)],
    ['a version that is no text', http('{"firecracker_version":[1]}')],
    ['a version without end', http(`{"firecracker_version":"${'1'.repeat(1_000)}"}`)],
    ['no JSON', http('{"firecracker_version"')],
    ['a long fault', http(`{"fault_message":"${'x'.repeat(60_000)}"}`, '400 Bad Request')],
  ])('that answers with %s fails the call', async (what, answer) => {
    answerWith(answer);
    if (what.startsWith('nothing but')) setTimeout(() => vmm.end(), 50);
    const call = await api.version().then(
      () => null,
      (error: Error) => error,
    );
    expect(call).toMatchObject({ code: 'guest_not_ready' });
    expect(call?.message.length).toBeLessThan(700);
  });
});
