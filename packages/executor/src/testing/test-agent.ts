import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, openFileCache, systemClock } from '@fumehood/base';
import { buildLauncher, canLimit, type GuestRecipe, vmmOf } from '@fumehood/microvm';
import { openVmms } from '../host/vmms.ts';
import { hostTemplates } from '../helper/templates.ts';
import type { ImageConfig, Registries } from '@fumehood/oci';
import type { Job, NativeJob, QueueName } from '@fumehood/protocol';
import { expect } from 'vitest';
import { makeAgent } from '../agent/agent.ts';
import { upstreamJobsSchema } from '../settings.ts';
import { healthy } from '../agent/health.ts';
import { openReservations } from '../agent/reservations.ts';
import { type GuestLimits, guestLimits } from '../runtime/microvm/guest-limits.ts';
import { microvmRuntime } from '../runtime/microvm/run.ts';
import { openHttp } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';
import { openUpstreamQueue } from '../uplink/upstream-queue.ts';
import type { FakeUpstream } from './fake-upstream.ts';
import { bundledDiskMaker } from './disk-maker.ts';
import { testGuest } from './test-guest.ts';
import { busyboxImage, type ImageFile } from './test-images.ts';
import { FakeInstance } from './fake-instance.ts';
import { testJob } from './test-job.ts';
import { localVms } from './local-vms.ts';

const isRoot = process.getuid?.() === 0;
const spawnUid = 1_900_000_002;

/** The count of what is left on the host after a VM that was cleaned up completely. */
export const nothingLeft = {
  processes: 0,
  mounts: 0,
  namespaces: 0,
  loopDevices: 0,
  cgroups: 0,
  files: 0,
};

/** A stand-in for the bundled `src`: sends the file that its arguments name through the socket that its environment names. */
const fakeClient = `
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
const flags = Object.fromEntries(process.argv.slice(4).map((flag) => flag.replace(/^-/, '').split(/=(.*)/s)));
const path = flags['upload-route'] + '?repository=' + encodeURIComponent(flags.repo) + '&commit=' + flags.commit;
const post = (path, done) => request({
  socketPath: process.env.SRC_PROXY.replace('unix://', ''), method: 'POST', path,
  headers: { authorization: process.env.SRC_HEADER_AUTHORIZATION },
}, (answer) => { answer.resume(); done(answer.statusCode); }).end(readFileSync(flags.file));
post('/.executors/queue/dequeue', (refused) => post(path, (status) => {
  console.log('dequeue', refused, 'upload', status, Object.keys(process.env).sort().join());
  process.exit(status === 202 ? 0 : 1);
}));
`;

/**
 * An agent that runs in this process, with real VMs, against an instance in memory.
 */
export class TestAgent {
  readonly instance: FakeInstance;
  readonly root: string;
  lastId = 100;
  private readonly stopAgent: () => Promise<void>;
  /** The agent's warnings, which are part of the error when a test waits in vain. */
  private readonly warnings: unknown[];

  private constructor(
    instance: FakeInstance,
    root: string,
    stopAgent: () => Promise<void>,
    warnings: unknown[],
  ) {
    this.instance = instance;
    this.root = root;
    this.stopAgent = stopAgent;
    this.warnings = warnings;
  }

  /**
   * Starts an agent. `recipe` is for a guest image that lacks a defense. With `from.instance`, the agent leases
   * from that instance instead of `instance`. `limits` replaces limits of guests.
   */
  static async start(
    recipe?: GuestRecipe,
    from?: { readonly instance: FakeUpstream | null; readonly registries: Registries },
    limits?: Partial<GuestLimits>,
  ): Promise<TestAgent> {
    const root = await mkdtemp(join(tmpdir(), 'fumehood-agent-'));
    await chmod(root, 0o711);
    const directories = { disks: join(root, 'disks'), blobs: join(root, 'blobs'), work: join(root, 'work') };
    for (const name of ['disks', 'blobs', 'work', 'run', 'images', 'client', 'repositories'])
      await mkdir(join(root, name), { mode: 0o710 });
    const guest = await testGuest(join(root, 'guest'), recipe);
    const instance = new FakeInstance();
    instance.repositories = join(root, 'repositories');
    await instance.start();
    const script = join(root, 'client', 'src.mjs');
    await writeFile(script, fakeClient);
    const { node, script: diskMaker } = await bundledDiskMaker(join(root, 'client'));
    const instanceUrl = from?.instance?.url ?? instance.url;
    const http = openHttp(instanceUrl);
    const credential = { secret: instance.credential, renew: async () => false };
    const identity = {
      name: 'test',
      version: '0',
      credential,
      tiers: ['vm-emulated' as const],
      arch: 'x64' as const,
      labels: [],
      network: false,
      machine: 'here',
    };
    const defaultResources = { cpus: 1, memoryMiB: 256, scratchMiB: 256 };
    const health = { current: healthy };
    const queue = from?.instance
      ? openUpstreamQueue(http, identity, null, defaultResources)
      : openQueue(http, identity, () => health.current.trouble);
    const warnings: unknown[] = [];
    const log = {
      info: () => {},
      warn: (facts: object, message: string) => void warnings.push([message, facts]),
    };
    const leases = keepLeases({
      queue,
      queues: ['batches', 'codeintel', 'runs'],
      clock: systemClock,
      onTrouble: (message) => void warnings.push(message),
    });
    const vmms = { emulated: { name: 'qemu', binary: '/usr/bin/qemu-system-x86_64' } } as const;
    const host = {
      vmm: vmmOf(vmms.emulated.name, vmms.emulated.binary),
      launcher: await buildLauncher(join(root, 'launcher')),
      guest,
      diskDirectory: directories.disks,
      // Node's copyFile, as root, keeps the owner of what it copies; the agent is not root.
      diskOwner: isRoot ? spawnUid : (process.getuid?.() ?? 0),
      runDirectory: join(root, 'run'),
      identity: isRoot ? { uid: 1_900_001_906, gid: 1_900_001_906 } : null,
    };
    const templateUid = isRoot ? 1_900_001_905 : null;
    const templates = hostTemplates(
      { ...host, cgroups: await canLimit() },
      openVmms(vmms),
      templateUid,
      512,
      log,
    );
    const vms = localVms(host, templates);
    const runtime = microvmRuntime({
      vms,
      vmms,
      spawn: localSpawn(isRoot ? { uid: spawnUid, gid: process.getgid?.() ?? 0 } : null),
      clock: systemClock,
      instanceUrl,
      executorName: 'test',
      credential,
      guestLimits: { ...guestLimits, ...limits },
      upstream: upstreamJobsSchema.parse({ accept: ['vm-emulated'], resources: defaultResources }),
      registries: from?.registries ?? [],
      route: { proxy: null },
      registryAuthFile: null,
      imageMaxMiB: 16,
      network: identity.network,
      egressCeiling: { mode: 'public' },
      tiers: identity.tiers,
      directories,
      cache: openFileCache({
        directories: [directories.disks, directories.blobs],
        maxBytes: 2 ** 30,
        onTrouble: log.warn,
      }),
      uploadClient: { node, script },
      diskMaker,
    });
    const reservations = openReservations({ cpus: 2, memoryMiB: 2048, scratchMiB: 4096 });
    const queues: QueueName[] = ['batches', 'codeintel', 'runs'];
    const agent = makeAgent({
      runtime,
      clock: systemClock,
      executorName: identity.name,
      http,
      leases,
      log,
      queue,
      queues,
      reservations,
      defaultResources,
      health,
    });
    const ran = agent.run();
    const stop = async () => {
      agent.stop();
      await ran;
      await templates.removeAll();
    };
    return new TestAgent(instance, root, stop, warnings);
  }

  async stop(): Promise<void> {
    await this.stopAgent();
    await this.instance.stop();
    await rm(this.root, { recursive: true, force: true });
  }

  /** Puts an image on the instance, and resolves with its name in a step. */
  async putImage(name: string, config: Partial<ImageConfig> = {}, files: ImageFile[] = []): Promise<string> {
    const { file, digest } = await busyboxImage(join(this.root, 'images'), name, config, files);
    this.instance.blobs.set(digest, readFileSync(file));
    return `blob:${digest}`;
  }

  /** Forgets the jobs of earlier tests. A test that failed may not have waited for its job to end. */
  async reset(): Promise<void> {
    const { instance } = this;
    instance.leased.clear();
    await this.until(() => readdirSync(join(this.root, 'work')).length === 0);
    instance.entries.length = 0;
    instance.marks.length = 0;
    instance.uploads.length = 0;
    instance.result = null;
    instance.answers.length = 0;
    instance.ends.length = 0;
    instance.diffs.length = 0;
  }

  /** Runs a job, and resolves with how it ended. */
  async run(job: Partial<Job>, native: Partial<NativeJob> = {}, timeoutMs?: number) {
    this.instance.jobs.push(testJob({ id: ++this.lastId, ...job }, native));
    return this.ended(timeoutMs);
  }

  /** Waits for the end of the job, and resolves with its mark. Expects that nothing of the job is left. */
  async ended(timeoutMs?: number) {
    const mark = await this.until(() => this.instance.marks[0], timeoutMs);
    expect(await readdir(join(this.root, 'work'))).toEqual([]);
    expect(await readdir(join(this.root, 'run'))).toEqual([]);
    return mark;
  }

  /** Waits until `probe` returns something, and resolves with it. */
  async until<T>(probe: () => T | undefined | false, timeoutMs = 60_000): Promise<T> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
      const value = probe();
      if (value) return value;
      await systemClock.sleep(20);
    }
    throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify([this.warnings, this.instance.entries])}`);
  }
}
