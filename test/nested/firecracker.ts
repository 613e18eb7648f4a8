import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FirecrackerApi, openFirecrackerApi } from '../../packages/microvm/src/vmm/firecracker/api.ts';
import { acceptedVersion } from '../../packages/microvm/src/vmm/firecracker/versions.ts';

/**
 * Drives a real Firecracker through the life of a template and of its clone, with the product's client, inside the nested machine:
 * `node test/nested/firecracker.ts FIRECRACKER KERNEL INITRAMFS`. Its last line is what it saw, as JSON.
 */
const [binary = '', kernel = '', initramfs = ''] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'firecracker-'));
const running: Running[] = [];

interface Running {
  readonly child: ChildProcess;
  readonly api: FirecrackerApi;
  output: string;
}

async function start(name: string): Promise<Running> {
  const work = join(directory, name);
  mkdirSync(work);
  const child = spawn(binary, ['--api-sock', 'api.sock', '--id', name], {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const socket = await connected(join(work, 'api.sock'));
  rmSync(join(work, 'api.sock'));
  const one: Running = { child, api: openFirecrackerApi(socket), output: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      one.output = (one.output + chunk.toString('latin1')).slice(-20_000);
    });
  running.push(one);
  return one;
}

/** Connects to Firecracker's socket, whose file is there before anything listens. */
async function connected(path: string): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (tries > 400) throw error;
      await sleep(25);
    }
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 600) throw new Error(`${what} did not happen`);
    await sleep(50);
  }
}

/** Returns the seccomp mode of each thread: 2 is a filter. */
const seccompModes = ({ child }: Running) =>
  readdirSync(`/proc/${child.pid}/task`).map((thread) =>
    Number(/^Seccomp:\s*(\d)/m.exec(readFileSync(`/proc/${child.pid}/task/${thread}/status`, 'latin1'))?.[1]),
  );
const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => '',
    (error: Error) => error.message,
  );

try {
  for (const [name, mib] of [
    ['small', 1],
    ['large', 64],
  ] as const) {
    writeFileSync(join(directory, name), '');
    truncateSync(join(directory, name), mib * 2 ** 20);
  }
  const files = { snapshot_path: join(directory, 'state'), mem_file_path: join(directory, 'memory') };

  const template = await start('template');
  const { api } = template;
  const version = acceptedVersion(await api.version(), { pci: false });
  for (const file of ['log', 'metrics']) writeFileSync(join(directory, file), '');
  await api.send('logger', { log_path: join(directory, 'log'), level: 'Warning' });
  await api.send('metrics', { metrics_path: join(directory, 'metrics') });
  await api.send('machine', { vcpu_count: 1, mem_size_mib: 128, smt: false, track_dirty_pages: false });
  const boot_args = 'console=ttyS0 loglevel=6 reboot=k panic=0 pci=off';
  await api.send('bootSource', { kernel_image_path: kernel, initrd_path: initramfs, boot_args });
  await api.send('drive', {
    ...{
      drive_id: 'disk0',
      path_on_host: join(directory, 'small'),
      is_root_device: false,
      is_read_only: true,
    },
    ...{ cache_type: 'Unsafe', io_engine: 'Sync' },
    rate_limiter: { bandwidth: { size: 2 ** 20, refill_time: 100 }, ops: { size: 1_000, refill_time: 100 } },
  });
  await api.send('vsock', { guest_cid: 3, uds_path: 'vsock' });
  await api.send('entropy', {});
  const noFile = {
    drive_id: 'disk1',
    path_on_host: '/none',
    is_root_device: false,
    is_read_only: true,
  } as const;
  const refused = await reasonOf(api.send('drive', { ...noFile, cache_type: 'Unsafe', io_engine: 'Sync' }));
  await api.send('action', { action_type: 'InstanceStart' });
  await until('the discovery of the drive', () => template.output.includes('[vda] 2048'));
  const seccomp = seccompModes(template);
  await api.send('action', { action_type: 'FlushMetrics' });
  await api.send('state', { state: 'Paused' });
  await api.send('saveSnapshot', { ...files, snapshot_type: 'Full' });
  template.child.kill('SIGKILL');
  const afterEnd = await reasonOf(once(template.child, 'exit').then(() => api.version()));

  const clone = await start('clone');
  await clone.api.send('loadSnapshot', {
    snapshot_path: files.snapshot_path,
    mem_backend: { backend_type: 'File', backend_path: files.mem_file_path },
    resume_vm: false,
  });
  await clone.api.send('changeDrive', { drive_id: 'disk0', path_on_host: join(directory, 'large') });
  await clone.api.send('state', { state: 'Resumed' });
  await until('the larger drive', () => clone.output.includes('new size: 131072'));
  console.log(JSON.stringify({ version, refused, seccomp, afterEnd, cloneSeccomp: seccompModes(clone) }));
} catch (error) {
  for (const { output } of running) console.log(output);
  console.log(readFileSync(join(directory, 'log'), 'utf8'));
  throw error;
} finally {
  for (const { child } of running) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
}
