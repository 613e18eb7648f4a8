import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, systemClock } from '@glovebox/base';
import { buildGuest, buildLauncher, qemu } from '@glovebox/microvm';
import type { Job, NativeJob } from '@glovebox/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { busyboxImage } from '../testing/images.ts';
import { FakeInstance } from '../testing/instance.ts';
import { testJob } from '../testing/job.ts';
import { localVms } from '../testing/vms.ts';
import { openHttp } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';
import { type Agent, agentQueues, makeAgent } from './agent.ts';
import { openReservations } from './room.ts';

const isRoot = process.getuid?.() === 0;
const spawnUid = 1_900_000_002;
const clean = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };

let root: string;
let instance: FakeInstance;
let agent: Agent;
let ran: Promise<void>;
let image: string;
let workerImage: string;
let commit: string;
/** What the agent said; shown when a test waits in vain. */
const warnings: unknown[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'glovebox-agent-'));
  await chmod(root, 0o711);
  const directories = { disks: join(root, 'disks'), blobs: join(root, 'blobs'), work: join(root, 'work') };
  for (const name of ['disks', 'blobs', 'work', 'run', 'images', 'client', 'repositories'])
    await mkdir(join(root, name), { mode: 0o711 });
  const guest = await buildGuest({ directory: join(root, 'guest'), onProgress: () => {} });
  const launcher = await buildLauncher(join(root, 'launcher'));
  instance = new FakeInstance();
  instance.repositories = join(root, 'repositories');
  await instance.start();
  const put = async (name: string, config = {}) => {
    const { file, digest } = await busyboxImage(join(root, 'images'), name, config);
    instance.blobs.set(digest, readFileSync(file));
    return `blob:${digest}`;
  };
  image = await put('plain', { env: ['FROM=image'] });
  workerImage = await put('worker', { user: 'worker', workingDir: '/home/worker' });
  commit = makeRepository();
  const script = join(root, 'client', 'src.mjs');
  await writeFile(script, fakeClient);
  const http = openHttp(instance.url);
  const { credential } = instance;
  const identity = { name: 'test', version: '0', credential, tiers: ['vm-emulated' as const] };
  const queue = openQueue(http, identity);
  const log = {
    info: () => {},
    warn: (facts: object, message: string) => void warnings.push([message, facts]),
  };
  const leases = keepLeases({
    queue,
    queues: agentQueues,
    clock: systemClock,
    onTrouble: (message) => void warnings.push(message),
  });
  const vms = localVms({
    vmm: qemu('/usr/bin/qemu-system-x86_64'),
    launcher,
    guest,
    diskDirectory: directories.disks,
    // Node's copyFile, as root, keeps the owner of what it copies; the agent is not root.
    diskOwner: isRoot ? spawnUid : (process.getuid?.() ?? 0),
    runDirectory: join(root, 'run'),
    identity: isRoot ? { uid: 1_900_001_906, gid: 1_900_001_906 } : null,
  });
  const runtime = {
    vms,
    spawn: localSpawn(isRoot ? { uid: spawnUid, gid: process.getgid?.() ?? 0 } : null),
    clock: systemClock,
    instanceUrl: instance.url,
    executorName: 'test',
    credential,
    tiers: identity.tiers,
    directories,
    uploadClient: { node: process.execPath, script },
  };
  const room = openReservations({ cpus: 2, memoryMiB: 2048, scratchMiB: 4096 });
  agent = makeAgent({ runtime, http, leases, log, queue, room });
  ran = agent.run();
});
afterAll(async () => {
  agent.stop();
  await ran;
  await instance.stop();
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  // A test that failed has not waited for its job: the next one must not see it.
  instance.leased.clear();
  await until(() => readdirSync(join(root, 'work')).length === 0);
  instance.entries.length = 0;
  instance.marks.length = 0;
  instance.uploads.length = 0;
  instance.result = null;
});

/** In the place of the bundled `src`: sends the file as it is told to by arguments and environment, through the socket. */
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

function makeRepository(): string {
  const git = (directory: string, ...args: string[]) =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      stdio: 'pipe',
    })
      .toString()
      .trim();
  const source = join(root, 'source');
  const target = join(root, 'repositories', 'acme');
  execFileSync('git', ['init', '-q', source]);
  execFileSync('sh', ['-c', 'echo "echo code of the repository" > hello.sh; mkdir sub; echo x > sub/file'], {
    cwd: source,
  });
  git(source, 'add', '-A');
  git(source, 'commit', '-qm', 'first');
  execFileSync('git', ['init', '-q', '--bare', target]);
  git(target, 'fetch', '-q', source, 'HEAD:refs/heads/main');
  return git(source, 'rev-parse', 'HEAD');
}

async function until<T>(what: () => T | undefined | false, timeoutMs = 30_000): Promise<T> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
    const value = what();
    if (value) return value;
    await systemClock.sleep(20);
  }
  throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify([warnings, instance.entries])}`);
}

let lastId = 100;
async function run(job: Partial<Job>, native: Partial<NativeJob> = {}) {
  instance.jobs.push(testJob({ id: ++lastId, ...job }, native));
  return ended();
}
async function ended() {
  const mark = await until(() => instance.marks[0]);
  expect(await readdir(join(root, 'work'))).toEqual([]);
  expect(await readdir(join(root, 'run'))).toEqual([]);
  return mark;
}

describe('a command', () => {
  it('runs in a fresh VM, its output apart, its end told; nothing is left', async () => {
    instance.input = Buffer.from('from stdin\n');
    const mark = await run(
      {
        dockerSteps: [
          {
            image,
            argv: ['sh', '-c', 'cat; echo "$FROM $MINE $HOME $(hostname)"; echo err >&2'],
            env: ['MINE=step'],
          },
        ],
      },
      { stdin: true },
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(instance.entries.map((entry) => [entry.key, entry.exitCode])).toEqual([
      ['setup.image', 0],
      ['setup.vm', 0],
      ['setup.guest', 0],
      ['step.docker.0', 0],
      ['teardown.vm', 0],
    ]);
    expect(instance.output('step.docker.0')).toBe(`from stdin\nimage step /root job-${lastId}\n`);
    expect(instance.entries[3]?.stderr.toString()).toBe('err\n');
    expect(instance.result).toMatchObject({
      tier: 'vm-emulated',
      vmm: 'qemu',
      exitCode: 0,
      guest: { interfaces: ['lo'] },
      inspection: null,
      leftOver: clean,
    });
  });

  it('that fails is named, with its code and its last lines; later steps do not run', async () => {
    const mark = await run({
      dockerSteps: [
        { key: 'build', image, commands: ['echo one', 'echo it broke >&2', 'exit 42'] },
        { image, argv: ['echo', 'never'] },
      ],
    });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_failed' });
    expect(mark.errorMessage).toContain('build ended with exit code 42:\nit broke');
    expect(instance.result).toMatchObject({ exitCode: 42, leftOver: clean });
    expect(instance.entries.map((entry) => entry.key)).not.toContain('step.docker.1');
  });

  it('that is not in the image says so', async () => {
    const mark = await run({ dockerSteps: [{ image, argv: ['no-such-program'] }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_not_started' });
    expect(instance.result).toMatchObject({ exitCode: 127, leftOver: clean });
  });

  it('that takes too long is stopped at the deadline', async () => {
    const mark = await run({ dockerSteps: [{ image, argv: ['sleep', '60'] }] }, { deadlineMs: 1_000 });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'deadline' });
    expect(instance.result).toMatchObject({ leftOver: clean });
  });

  it('that wants more memory than it has is stopped, and says so', async () => {
    const doubling = 'x=0123456789abcdef; while :; do x=$x$x; done';
    const mark = await run({ dockerSteps: [{ image, argv: ['sh', '-c', doubling] }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'memory' });
    expect(instance.result).toMatchObject({ leftOver: clean });
  });
});

describe('a job that has to stop', () => {
  const sleeping = () => ({ dockerSteps: [{ image, argv: ['sh', '-c', 'echo started; sleep 60'] }] });
  const start = async () => {
    instance.jobs.push(testJob({ id: ++lastId, ...sleeping() }));
    await until(() => instance.output('step.docker.0').includes('started'));
  };

  it('because it was canceled ends with its VM destroyed, and says so', async () => {
    await start();
    instance.canceled.add(lastId);
    expect(await ended()).toMatchObject({ operation: 'markFailed', reason: 'canceled' });
    expect(instance.result).toMatchObject({ leftOver: clean });
    expect(instance.entries.at(-1)?.key).toBe('teardown.vm');
  });

  it('because its lease was lost writes nothing more', async () => {
    await start();
    instance.leased.delete(lastId);
    await until(() => !execFileSync('ps', ['-eo', 'args']).toString().includes(`glovebox-j${lastId}-`));
    await systemClock.sleep(500);
    expect(instance.marks).toEqual([]);
    expect(await readdir(join(root, 'work'))).toEqual([]);
  });
});

describe('a repository', () => {
  const repository = () => ({ repositoryName: 'acme', commit });

  it('is the working directory of its steps, writable by any user, kept from step to step', async () => {
    const mark = await run({
      ...repository(),
      queue: 'codeintel',
      dockerSteps: [
        {
          image: workerImage,
          argv: ['sh', '-c', 'id -u; pwd; sh hello.sh; echo new > sub/new; echo y > sub/file'],
        },
        { image, dir: 'sub', argv: ['sh', '-c', 'pwd; cat new file; test ! -e /marker && touch /marker'] },
        { image, argv: ['test', '!', '-e', '/marker'] },
      ],
    });
    expect(instance.output('step.docker.0')).toBe('1000\n/data\ncode of the repository\n');
    expect(instance.output('step.docker.1')).toBe('/data/sub\nnew\ny\n');
    expect(mark).toEqual({ operation: 'markComplete' });
  });

  it('gives its index to the upload route; no credential is in the VM', async () => {
    const mark = await run(
      {
        ...repository(),
        queue: 'codeintel',
        dockerSteps: [{ key: 'indexer', image, argv: ['sh', '-c', 'echo the index > sub/index.scip'] }],
      },
      { inspect: true, upload: { file: 'sub/index.scip', root: 'sub', indexer: 'scip-test' } },
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(instance.entries.map((entry) => entry.key)).toEqual([
      'setup.workspace',
      'setup.image',
      'setup.vm',
      'setup.guest',
      'step.docker.indexer',
      'collect',
      'inspect',
      'upload',
      'teardown.vm',
    ]);
    expect(instance.uploads.map(String)).toEqual(['the index\n']);
    // The client saw one route, and no variable of ours.
    expect(instance.output('upload')).toContain('dequeue 403 upload 202 HOME,LC_ALL,PATH,PWD,SRC_');
    expect(instance.result).toMatchObject({
      inspection: { credentials: 2, found: 0, controlFound: true },
    });
  });

  it('whose step leaves no index fails with the name of the file', async () => {
    const mark = await run(
      { ...repository(), queue: 'codeintel', dockerSteps: [{ image, argv: ['touch', 'other'] }] },
      { upload: { file: 'index.scip', root: '', indexer: 'scip-test' } },
    );
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'artifact_missing' });
    expect(mark.errorMessage).toContain('index.scip');
  });

  it('that the instance does not have fails before any VM', async () => {
    const mark = await run({ ...repository(), commit: '5'.repeat(40), dockerSteps: [{ image }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'commit_missing' });
    expect(instance.entries.map((entry) => entry.key)).not.toContain('setup.vm');
  });
});
