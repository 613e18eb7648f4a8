import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildLauncher } from '../launcher/build.ts';
import {
  childrenOf,
  descriptors,
  isRoot,
  type Launched,
  type LaunchOptions,
  launch,
  limitOf,
  processesNaming,
  statusOf,
} from '../testing/launch.ts';
import { namespacesOf } from '../vm/leftover.ts';
import { jailArguments } from './bwrap.ts';

const uid = 1_900_123;
const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'];
const extra = isRoot ? ['--ids', `${uid}:${uid}`] : [];
let directory: string;
let launcher: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-jail-'));
  launcher = await buildLauncher(directory);
  await chmod(directory, 0o711);
});
afterAll(() => rm(directory, { recursive: true }));

const jailed = (command: readonly string[], devices: readonly string[] = []) =>
  jailArguments(command, { devices, filter: descriptors.filter });

/** Runs a shell script in the jail and returns its stdout. */
async function inJail(script: string, options: LaunchOptions = {}): Promise<string> {
  const launched = launch(launcher, jailed(['/usr/bin/sh', '-c', script]), { extra, ...options });
  launched.renew(60_000);
  const [stdout, stderr] = await Promise.all([launched.stdout, launched.stderr]);
  expect(await launched.status, stderr).toMatch(/^0 0 exited \d+\n$/);
  return stdout;
}

/** Returns the options of a process's mounts, by mount point. */
async function mountsOf(pid: number): Promise<Map<string, string[]>> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, 'latin1')).trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const fields = line.split(' ');
      return [fields[4] ?? '', (fields[5] ?? '').split(',')];
    }),
  );
}

/** Returns what confines a process, as seen from outside. */
async function confinementOf(pid: number) {
  const own = new Set(namespacesOf('self'));
  const kindOf = (namespace: string) => namespace.split(':')[0] ?? '';
  const shared = namespacesOf(pid).filter((namespace) => own.has(namespace));
  const mounts = await mountsOf(pid);
  return {
    capabilities: sets.map((set) => BigInt(`0x${statusOf(pid, set)}`)),
    noNewPrivileges: statusOf(pid, 'NoNewPrivs'),
    sharedNamespaces: [...new Set(shared.map(kindOf))].filter((kind) => kind !== 'time'),
    writableMounts: [...mounts].filter(([, options]) => !options.includes('ro')).map(([path]) => path),
    core: limitOf(pid, 'Max core file size'),
    files: limitOf(pid, 'Max open files'),
    environment: await readFile(`/proc/${pid}/environ`, 'latin1'),
  };
}

describe('a program in the jail', () => {
  const marker = String(randomInt(1e9, 1e10));
  let launched: Launched;
  let pid: number;

  beforeEach(async () => {
    launched = launch(launcher, jailed(['/usr/bin/sleep', marker]), { extra });
    launched.renew(120_000);
    const outside = await launched.child();
    pid = await vi.waitUntil(
      async () => {
        const inside = childrenOf(outside)[0];
        const line = inside && (await readFile(`/proc/${inside}/cmdline`, 'latin1'));
        return line && line.startsWith('/usr/bin/sleep') && inside;
      },
      { timeout: 20_000 },
    );
  });
  afterEach(async () => {
    launched.kill();
    await vi.waitUntil(() => processesNaming(marker).length === 0, { timeout: 20_000 });
  });

  it('has no capability, no way to gain one, limits, an empty environment, and shares no namespace', async () => {
    const { writableMounts: _, ...confinement } = await confinementOf(pid);
    expect(confinement).toEqual({
      capabilities: [0n, 0n, 0n, 0n, 0n],
      noNewPrivileges: '1',
      // Time namespaces are ignored: they hold only clock offsets, and bubblewrap does not make one.
      sharedNamespaces: [],
      core: '0 0',
      files: '1024 1024',
      environment: 'PWD=/\0',
    });
  });

  it.skipIf(!isRoot)('has its own user, its own group and no other group', () => {
    expect(statusOf(pid, 'Uid')).toBe(`${uid} ${uid} ${uid} ${uid}`);
    expect(statusOf(pid, 'Gid')).toBe(`${uid} ${uid} ${uid} ${uid}`);
    expect(statusOf(pid, 'Groups')).toBe('');
  });

  it('has no writable mount except pseudo file systems of the kernel', async () => {
    const { writableMounts } = await confinementOf(pid);
    const devices = ['full', 'null', 'random', 'tty', 'urandom', 'zero'].map((name) => `/dev/${name}`);
    expect(writableMounts.sort()).toEqual([...devices, '/dev/pts', '/proc'].sort());
  });

  it.skipIf(!isRoot)('sees libraries and firmware, but no home, state or configuration', async () => {
    const seen = (path: string) => readdir(`/proc/${pid}/root/${path}`).then((names) => names.sort());
    expect(await seen('')).toEqual(['dev', 'etc', 'lib', 'lib64', 'proc', 'usr']);
    expect(await seen('etc')).toEqual(['ld.so.cache']);
    expect(await seen('usr')).toEqual(['bin', 'lib', 'lib64', 'share']);
  });

  it('differs in these facts from a program outside the jail', async () => {
    const free = await confinementOf(process.pid);
    expect(free.sharedNamespaces.sort()).toEqual(['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts']);
    expect(free.writableMounts).toContain('/');
    expect(free.environment).toContain('PATH=');
    if (isRoot) expect(free.capabilities).not.toEqual([0n, 0n, 0n, 0n, 0n]);
  });
});

describe('from inside the jail', () => {
  it('no file can be created anywhere', async () => {
    // A file system may refuse even where the permissions allow it. /proc is skipped: it contains only processes of the jail.
    const script = `
      find / -path /proc -prune -o -type d -writable -print 2>/dev/null | while read -r directory; do
        (: > "$directory/made") 2>/dev/null && echo "$directory"
      done
      (: > /proc/made) 2>/dev/null || echo done`;
    expect(await inJail(script)).toBe('done\n');
  });

  it('no file can be created through a descriptor of the executor, because the launcher closes it', async () => {
    const outside = join(directory, 'outside');
    await mkdir(outside);
    await chmod(outside, 0o777);
    const held = await open(outside);
    const script = `
      for descriptor in $(ls /proc/self/fd); do
        (: > "/proc/self/fd/$descriptor/made") 2>/dev/null && echo "$descriptor"
      done
      echo done`;
    expect(await inJail(script, { stray: held.fd })).toBe('done\n');
    expect(await readdir(outside)).toEqual([]);
    // A descriptor that the launcher passes on leads out of the jail.
    expect(await inJail(script, { file: held.fd })).toBe(`${descriptors.file}\ndone\n`);
    expect(await readdir(outside)).toEqual(['made']);
    await held.close();
  });

  it('only its own processes and its own loopback are visible', async () => {
    const seen = await inJail('echo /proc/[0-9]*; cut -s -d: -f1 /proc/net/dev');
    expect(seen.split(/\s+/).filter(Boolean)).toEqual(['/proc/1', 'lo']);
  });

  it('no further user namespace can be created', async () => {
    expect(await inJail('unshare --user true 2>&1; true')).toMatch(/^unshare: unshare failed: /);
  });

  it.skipIf(!existsSync('/dev/loop-control'))('a device exists only if it was given', async () => {
    const launched = launch(launcher, jailed(['/usr/bin/ls', '/dev'], ['/dev/loop-control']), { extra });
    launched.renew(60_000);
    expect((await launched.stdout).split('\n')).toContain('loop-control');
    expect((await inJail('ls /dev')).split('\n')).not.toContain('loop-control');
  });
});
