import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sendMessage } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CarriedOut, FakeFirecracker } from '../../testing/fake-firecracker.ts';
import { guestSocketNames, portNames, type VmSpec } from '../../vm/spec.ts';
import type { LaunchedVmm, VmmDescriptors } from '../vmm.ts';
import { firecracker } from './firecracker.ts';

const vmm = firecracker('/opt/firecracker');
const spec: VmSpec = {
  ...{ id: 'x', acceleration: 'kvm', cpus: 2, memoryMiB: 256, scratchMiB: 64 },
  disks: ['a', 'b'],
};
const common = { scratch: 6, scratchReader: 7, stateSocket: null };
const boots: VmmDescriptors = {
  ...{ ...common, blank: null, disks: [8, 9], slots: 2, start: { kernel: 10, initramfs: 11 } },
  ...{ memory: null, savedState: null, tap: null, channel: { directory: 12 } },
};
const template: VmmDescriptors = { ...boots, blank: 8, disks: [], slots: 4, memory: 12, savedState: 13 };
const clones: VmmDescriptors = {
  ...boots,
  blank: 8,
  disks: [9, 10],
  slots: 4,
  start: { state: 11 },
  memory: 12,
};

let directory: string;
let sockets: Socket[];
let servers: Server[];
let fakes: FakeFirecracker[];
let ended: PromiseWithResolvers<void>;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-firecracker-'));
  [sockets, servers, fakes] = [[], [], []];
  ended = Promise.withResolvers();
});
afterEach(async () => {
  ended.resolve();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await rm(directory, { recursive: true });
});

/** Prepares the host's side of a VM. */
async function prepare(fds: VmmDescriptors, templateVersion: string | null = null, network = false) {
  const vm: LaunchedVmm = {
    spec: { ...spec, network },
    fds,
    channel: { directory },
    templateVersion,
    ended: ended.promise,
  };
  const { guest } = await vmm.connect(vm);
  guest.then(
    (connected) => sockets.push(...Object.values(connected.sockets as object as Record<string, Socket>)),
    () => {},
  );
  return guest;
}

async function dial(port: number): Promise<Socket> {
  const socket = connect(join(directory, `v_${port}`));
  sockets.push(socket.on('error', () => {}));
  await once(socket, 'connect');
  return socket;
}

/** Starts a stand-in whose guest dials all ports when it runs. Returns the requests that it carries out. */
function startFake(version = '1.17.0'): CarriedOut[] {
  const carriedOut: CarriedOut[] = [];
  const onCarriedOut = async (request: CarriedOut) => {
    carriedOut.push(request);
    const { name, body } = request;
    if (name === 'vsock' || name === 'loadSnapshot') await writeFile(join(directory, 'v'), '');
    if (name !== 'action' && body.state !== 'Resumed') return;
    for (const [index, stream] of ['control', 'stdin', 'stdout', 'stderr', 'bulk'].entries())
      (await dial(1024 + index)).write(`${stream} of the guest`);
  };
  const server = createServer((socket) => {
    sockets.push(socket);
    fakes.push(new FakeFirecracker(socket, { version, onCarriedOut }));
  });
  servers.push(server.listen(join(directory, 'api')));
  return carriedOut;
}

const namesOf = (requests: readonly CarriedOut[]) => requests.map(({ name }) => name);

describe('a VM that boots', () => {
  it('is told its machine, its kernel and its disks by their descriptors, before its guest runs', async () => {
    const guest = prepare(boots);
    const requests = startFake();
    await guest;
    expect(namesOf(requests)).toEqual([
      ...['machine', 'bootSource', 'drive', 'drive', 'drive', 'vsock', 'action'],
    ]);
    expect(requests[0]?.body).toMatchObject({ vcpu_count: 2, mem_size_mib: 256, smt: false });
    expect(requests[1]?.body).toMatchObject({
      kernel_image_path: '/proc/self/fd/10',
      initrd_path: '/proc/self/fd/11',
      boot_args: expect.stringContaining(' pci=off'),
    });
    expect(requests.slice(2, 5).map(({ body }) => [body.path_on_host, body.is_read_only])).toEqual([
      ['/proc/self/fd/6', false],
      ['/proc/self/fd/8', true],
      ['/proc/self/fd/9', true],
    ]);
    expect(requests[5]?.body).toEqual({ guest_cid: 3, uds_path: 'v' });
  });

  it('opens the tap of its namespace by its name, if its guest has a network', async () => {
    const guest = prepare(boots, null, true);
    const requests = startFake();
    await guest;
    expect(requests.filter(({ name }) => name === 'networkInterface').map(({ body }) => body)).toEqual([
      { iface_id: 'network', host_dev_name: 'tap0', guest_mac: '02:00:00:00:00:02' },
    ]);
    expect(vmm.devices({ ...spec, network: true })).toEqual(['/dev/kvm', '/dev/net/tun']);
    expect(vmm.devices(spec)).toEqual(['/dev/kvm']);
  });

  it('has the streams that its guest has dialled, unread, and nothing is left in its directory', async () => {
    const guest = prepare(boots);
    startFake();
    const { sockets: streams, version } = await guest;
    expect(version).toBe('1.17.0');
    for (const name of ['control', 'stdin', 'stdout', 'stderr', 'bulk'] as const) {
      expect(streams[name].readableLength).toBe(0);
      const data = once(streams[name], 'data');
      streams[name].resume();
      const [chunk] = await data;
      expect(String(chunk)).toBe(`${name} of the guest`);
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('is handed to another process, which reads each stream from its first byte and goes on with the API', {
    timeout: 60_000,
  }, async () => {
    const guest = prepare(boots);
    startFake();
    const { sockets: streams } = await guest;
    const agent = fork(join(import.meta.dirname, '../../testing/take-over.ts'));
    try {
      const said = new Map<string, string>();
      agent.on('message', ([name, text]: [string, string]) => said.set(name, (said.get(name) ?? '') + text));
      for (const name of guestSocketNames) await sendMessage(agent, { name }, streams[name]);
      const expected = portNames.map((name) => [name, `${name} of the guest`] as const);
      await expect
        .poll(() => said, { timeout: 50_000 })
        .toEqual(new Map([...expected, ['monitor', 'paused']]));
    } finally {
      agent.kill('SIGKILL');
    }
  });

  it('has an empty disk in each slot if it becomes a template', async () => {
    const guest = prepare(template);
    const requests = startFake();
    await guest;
    const drives = requests.filter(({ name }) => name === 'drive').map(({ body }) => body);
    expect(drives.map(({ drive_id: id }) => id)).toEqual(Array.from({ length: 5 }, (_, at) => `disk${at}`));
    const empty = { path_on_host: '/proc/self/fd/8', is_read_only: true };
    expect(drives.slice(1)).toEqual(Array(4).fill(expect.objectContaining(empty)));
  });
});

describe('a VM with more than 13 disks', () => {
  const large = { ...spec, disks: Array<string>(14).fill('a') };
  const start = async (version: string) => {
    const disks = Array.from(large.disks, (_, at) => 20 + at);
    const fds = { ...boots, disks, slots: disks.length };
    const vm = { fds, channel: { directory }, templateVersion: null, ended: ended.promise };
    const { guest } = await vmm.connect({ ...vm, spec: large });
    return { guest, requests: startFake(version) };
  };

  it('has a PCI bus, which others do not have', async () => {
    expect(vmm.command(large, boots)).toContain('--enable-pci');
    expect(vmm.command(spec, boots)).not.toContain('--enable-pci');
    const { guest, requests } = await start('1.17.0');
    sockets.push(...Object.values((await guest).sockets as object as Record<string, Socket>));
    expect(requests.filter(({ name }) => name === 'drive')).toHaveLength(15);
    const [withBus] = requests.filter(({ name }) => name === 'bootSource');
    expect(withBus?.body.boot_args).not.toContain('pci=off');
  });

  it('is refused in a version with a hole there', async () => {
    const { guest, requests } = await start('1.15.0');
    await expect(guest).rejects.toMatchObject({
      code: 'vmm_refused',
      message: expect.stringContaining('CVE-2026-5747'),
    });
    expect(requests).toEqual([]);
  });
});

describe('a clone', () => {
  it('is loaded, gets each of its disks, and only then runs', async () => {
    const guest = prepare(clones, '1.17.0');
    const requests = startFake();
    await guest;
    expect(requests).toEqual([
      {
        name: 'loadSnapshot',
        body: {
          snapshot_path: '/proc/self/fd/11',
          mem_backend: { backend_type: 'File', backend_path: '/proc/self/fd/12' },
          resume_vm: false,
        },
      },
      { name: 'changeDrive', body: { drive_id: 'disk0', path_on_host: '/proc/self/fd/6' } },
      { name: 'changeDrive', body: { drive_id: 'disk1', path_on_host: '/proc/self/fd/9' } },
      { name: 'changeDrive', body: { drive_id: 'disk2', path_on_host: '/proc/self/fd/10' } },
      { name: 'state', body: { state: 'Resumed' } },
    ]);
  });

  it('is not loaded from a template of another version', async () => {
    const guest = prepare(clones, '1.16.1');
    const requests = startFake();
    await expect(guest).rejects.toMatchObject({
      code: 'guest_not_ready',
      message: expect.stringContaining('its template was made by Firecracker 1.16.1, and this is 1.17.0'),
    });
    expect(requests).toEqual([]);
  });
});

describe('a guest does not connect', () => {
  it('when the VMM is a version that is not accepted, and then it never runs', async () => {
    const guest = prepare(boots);
    const requests = startFake('1.13.1');
    await expect(guest).rejects.toMatchObject({ code: 'vmm_refused' });
    expect(requests).toEqual([]);
  });

  it.each(['before its API was dialled', 'before its guest has dialled'])(
    'when the VM ends %s, and its sockets are removed',
    async (when) => {
      const guest = prepare(boots);
      guest.catch(() => {});
      if (when.includes('guest')) servers.push(createServer(() => {}).listen(join(directory, 'api')));
      await expect.poll(async () => (await readdir(directory)).length).toBe(5);
      ended.resolve();
      await expect(guest).rejects.toMatchObject({ code: 'guest_not_ready' });
      expect(await readdir(directory)).toEqual([]);
    },
  );
});

describe('a VM is refused', () => {
  it.each<[string, Partial<VmSpec>, RegExp]>([
    ['without hardware virtualization', { acceleration: 'emulated' }, /needs hardware virtualization/],
    ['with more than 32 processors', { cpus: 33 }, /33 processors/],
  ])('%s', (_, changes, message) => {
    expect(() => vmm.check({ ...spec, ...changes })).toThrow(message);
    vmm.check(spec);
  });
});
