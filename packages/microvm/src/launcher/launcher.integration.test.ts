import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '@fumehood/base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { jailArguments } from '../jail/bwrap.ts';
import { makeCgroup, removeCgroup } from '../jail/cgroups.ts';
import {
  childrenOf,
  descriptors,
  isRoot,
  type Launched,
  launch,
  limitOf,
  processesNaming,
  statusOf,
} from '../testing/launch.ts';
import { buildLauncher } from './build.ts';

const ids = isRoot ? ['--ids', '1900123:1900123'] : [];
let directory: string;
let launcher: string;
/** Seconds to sleep; also marks every process of a test in its command line. */
let marker: string;
let running: Launched[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-launcher-'));
  launcher = await buildLauncher(directory);
});
afterAll(() => rm(directory, { recursive: true }));
beforeEach(() => {
  marker = String(randomInt(1e9, 1e10));
});
afterEach(async () => {
  for (const launched of running) launched.kill();
  running = [];
  await nothingLeft();
});

const sleep = () => ['/usr/bin/sleep', marker];
/** A jailed command, like a VMM, that starts further processes. */
const family = () =>
  jailArguments(['/usr/bin/sh', '-c', `sleep ${marker} & (sleep ${marker} &) ; sleep ${marker}`], {
    filter: descriptors.filter,
  });

function start(command: readonly string[], options?: Parameters<typeof launch>[2]): Launched {
  const launched = launch(launcher, command, options);
  running.push(launched);
  return launched;
}
/** Waits for six processes: launcher, bubblewrap, the shell in the jail and its three children. */
const familyIsThere = () =>
  vi.waitFor(() => expect(processesNaming(marker)).toHaveLength(6), { timeout: 20_000, interval: 20 });
const nothingLeft = () =>
  vi.waitFor(() => expect(processesNaming(marker)).toEqual([]), { timeout: 20_000, interval: 20 });
const endOf = async (launched: Launched) => {
  const [code, signal, reason, bootTime] = (await launched.status).trimEnd().split(' ');
  return { outcome: `${code} ${signal} ${reason}`, bootTime: Number(bootTime) };
};

describe('before the first renewal', () => {
  it('the guest memory exists and nothing runs', async () => {
    const launched = start(sleep());
    await vi.waitUntil(() => existsSync(`/proc/${launched.pid}/fd/${descriptors.memory}`));
    await delay(300);
    expect(childrenOf(launched.pid)).toEqual([]);
    launched.renew(60_000);
    expect(await readFile(`/proc/${await launched.child()}/status`, 'latin1')).toBeTruthy();
  });

  it('the end of the lease stream ends the launcher', async () => {
    const launched = start(sleep());
    launched.lease.end();
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 0 lease' });
  });

  it('a renewal that has already expired ends the launcher: an agent that was suspended starts nothing', async () => {
    const launched = start(['/usr/bin/echo', 'ran']);
    launched.renew(-1_000);
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 0 lease' });
    expect(await launched.stdout).toBe('');
  });

  it('a kill ends the launcher', async () => {
    const launched = start(sleep());
    launched.lease.write('K\n');
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 0 killed' });
  });
});

describe('a lease', () => {
  it('that runs out kills the command and everything that it started, not earlier and not much later', async () => {
    const launched = start(family());
    const deadline = launched.renew(2_000);
    await familyIsThere();
    const { outcome, bootTime } = await endOf(launched);
    expect(outcome).toBe('-1 9 lease');
    expect(bootTime).toBeGreaterThanOrEqual(deadline);
    expect(bootTime).toBeLessThan(deadline + 5_000);
    await nothingLeft();
  });

  it('that is renewed lasts until the last deadline', async () => {
    const launched = start(sleep());
    let deadline = launched.renew(1_500);
    const child = await launched.child();
    for (let renewals = 0; renewals < 6; renewals++) {
      await delay(400);
      expect(childrenOf(launched.pid)).toEqual([child]);
      deadline = launched.renew(1_500);
    }
    const { outcome, bootTime } = await endOf(launched);
    expect(outcome).toBe('-1 9 lease');
    expect(bootTime).toBeGreaterThanOrEqual(deadline);
  });

  it('is parsed from any split of the stream, and its last line counts', async () => {
    const launched = start(sleep());
    const now = systemClock.bootTime();
    launched.lease.write(`R ${now + 60_000}\n`.repeat(50));
    await launched.child();
    for (const piece of ['R', ` ${now + 50_000}`, '\nR ', `${now + 1_500}\n`]) {
      launched.lease.write(piece);
      await delay(20);
    }
    const { outcome, bootTime } = await endOf(launched);
    expect(outcome).toBe('-1 9 lease');
    expect(bootTime).toBeGreaterThanOrEqual(now + 1_500);
    expect(bootTime).toBeLessThan(now + 50_000);
  });

  it('whose stream has ended lasts until its deadline and no longer', async () => {
    const launched = start(family());
    const deadline = launched.renew(3_000);
    await familyIsThere();
    launched.lease.destroy();
    await delay(500);
    expect(childrenOf(launched.pid)).toHaveLength(1);
    const { outcome, bootTime } = await endOf(launched);
    expect(outcome).toBe('-1 9 lease');
    expect(bootTime).toBeGreaterThanOrEqual(deadline);
    await nothingLeft();
  });
});

describe('the lease stream', () => {
  it('kills the command and everything that it started', async () => {
    const launched = start(family());
    launched.renew(60_000);
    await familyIsThere();
    launched.lease.write('K\n');
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 9 killed' });
    await nothingLeft();
  });

  it.each([
    'X\n',
    '\n',
    'R\n',
    'R \n',
    'R -1\n',
    'R 1e9\n',
    'R 1 \n',
    `R ${'9'.repeat(30)}\n`,
    'R '.padEnd(64, '1'),
  ])('kills the command on a malformed line: %j', async (line) => {
    const launched = start(sleep());
    launched.renew(60_000);
    await launched.child();
    launched.lease.write(line);
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 9 killed' });
  });
});

describe('the status stream', () => {
  it.each([
    ['exit 7', '7 0 exited'],
    ['exit 0', '0 0 exited'],
    ['kill -TERM $$', '-1 15 exited'],
  ])('reports in one line how `%s` ended', async (script, outcome) => {
    const launched = start(['/usr/bin/sh', '-c', script]);
    launched.renew(60_000);
    expect(await launched.status).toMatch(new RegExp(`^${outcome} \\d+\n$`));
  });

  it('reports a command that cannot be executed in one line', async () => {
    const launched = start([`/nonexistent/${marker}`]);
    launched.renew(60_000);
    expect(await launched.status).toMatch(/^125 0 start \d+\n$/);
    expect(await launched.stderr).toBe(`launcher: /nonexistent/${marker}: No such file or directory\n`);
  });

  it('reports a cgroup that cannot be joined, and nothing runs', async () => {
    const launched = start(['/usr/bin/echo', 'ran'], { extra: ['--cgroup', '/nonexistent/procs'] });
    launched.renew(60_000);
    expect(await launched.status).toMatch(/^125 0 start \d+\n$/);
    expect(await launched.stdout).toBe('');
  });
});

describe('the death of the launcher', () => {
  it('by kill -9 kills everything that it started', async () => {
    const launched = start(family(), { extra: ids });
    launched.renew(60_000);
    await familyIsThere();
    launched.kill();
    await nothingLeft();
    expect(await launched.status).toBe('');
  });
});

describe.skipIf(!isRoot)('a kill', () => {
  /** Whether a process of the jail was alive 300 ms after the launcher had reported the end of the command. */
  async function survives(afterMs: number): Promise<boolean> {
    const launched = start(jailArguments(sleep(), { filter: descriptors.filter }), { extra: ids });
    launched.renew(60_000);
    const child = await launched.child();
    await delay(afterMs);
    process.kill(child, 'SIGKILL');
    await launched.status;
    const end = Date.now() + 300;
    while (processesNaming(marker).length > 0 && Date.now() < end) await delay(10);
    return processesNaming(marker).length > 0;
  }

  it('at any moment of the start of its jail leaves no process', async () => {
    for (let round = 0; round < 30; round++)
      expect(await survives(round), `killed after ${round} ms`).toBe(false);
  });
});

describe('the command', () => {
  it('inherits the memory and the descriptors below it except lease and status', async () => {
    const launched = start(sleep());
    launched.renew(60_000);
    const child = await launched.child();
    await vi.waitUntil(async () =>
      (await readFile(`/proc/${child}/cmdline`, 'latin1')).startsWith('/usr/bin/'),
    );
    const { filter, memory } = descriptors;
    expect((await readdir(`/proc/${child}/fd`)).sort()).toEqual([0, 1, 2, filter, memory].map(String));
    expect(statusOf(child, 'NoNewPrivs')).toBe('1');
  });

  it.skipIf(!isRoot)('has the requested ids, no group, no capability', async () => {
    const launched = start(sleep(), { extra: ['--ids', '1900123:1900124'] });
    launched.renew(60_000);
    const child = await launched.child();
    await vi.waitUntil(() => statusOf(child, 'NoNewPrivs') === '1');
    expect(statusOf(child, 'Uid')).toBe('1900123 1900123 1900123 1900123');
    expect(statusOf(child, 'Gid')).toBe('1900124 1900124 1900124 1900124');
    expect(statusOf(child, 'Groups')).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(statusOf(child, set)).toBe('0000000000000000');
    launched.lease.write('K\n'); // the launcher has kept the capability to kill a process of another uid
    expect(await endOf(launched)).toMatchObject({ outcome: '-1 9 killed' });
  });

  it.skipIf(!isRoot)('is in its cgroup from its first instruction on; the launcher is not', async () => {
    const name = `fumehood-test-${marker}`;
    const procsFiles = await makeCgroup(name, { memoryBytes: 2 ** 26, pids: 16, cpus: 1 });
    const launched = start(['/usr/bin/cat', '/proc/self/cgroup'], {
      extra: procsFiles.flatMap((file) => ['--cgroup', file]),
    });
    expect(await readFile(`/proc/${launched.pid}/cgroup`, 'latin1')).not.toContain(name);
    launched.renew(60_000);
    const lines = (await launched.stdout).split('\n').filter((line) => line.includes(name));
    expect(lines).toHaveLength(procsFiles.length);
    await launched.status;
    await removeCgroup(name);
    expect(procsFiles.filter((file) => existsSync(file))).toEqual([]);
  });
});

describe('the limits of the command', () => {
  it('are set, and it cannot raise them', async () => {
    const launched = start(sleep(), { fileBytes: 2 ** 24, processes: 50, extra: ids });
    launched.renew(60_000);
    const child = await launched.child();
    await vi.waitUntil(async () =>
      (await readFile(`/proc/${child}/cmdline`, 'latin1')).startsWith('/usr/bin/'),
    );
    const limits = {
      'Max core file size': '0 0',
      'Max open files': '1024 1024',
      'Max file size': `${2 ** 24} ${2 ** 24}`,
      'Max locked memory': '0 0',
      'Max msgqueue size': '0 0',
      ...(isRoot && { 'Max processes': '50 50' }),
    };
    expect(Object.fromEntries(Object.keys(limits).map((name) => [name, limitOf(child, name)]))).toEqual(
      limits,
    );
  });

  it('prevent a jailed program that has a disk of 16 MiB open from making it larger', async () => {
    const sizeMiB = 16;
    const grow = async (fileBytes: number) => {
      const file = await open(join(directory, 'scratch'), 'w+');
      await file.truncate(sizeMiB * 2 ** 20);
      const script = `head -c ${2 * sizeMiB}M /dev/zero >&${descriptors.file}`;
      const command = jailArguments(['/usr/bin/sh', '-c', script], { filter: descriptors.filter });
      const launched = start(command, { file: file.fd, fileBytes, extra: ids });
      launched.renew(60_000);
      await launched.status;
      const { size } = await file.stat();
      await file.close();
      return size / 2 ** 20;
    };
    expect(await grow(sizeMiB * 2 ** 20)).toBe(sizeMiB);
    expect(await grow(2 ** 40)).toBe(2 * sizeMiB);
  });

  it.skipIf(!isRoot)('prevent a jailed program from starting more processes', async () => {
    const fork = async (processes: number) => {
      const script = 'for one in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo started';
      const command = jailArguments(['/usr/bin/sh', '-c', script], { filter: descriptors.filter });
      const launched = start(command, { processes, extra: ids });
      launched.renew(60_000);
      await launched.status;
      return launched.stdout;
    };
    expect(await fork(6)).toBe('');
    expect(await fork(100)).toBe('started\n');
  });
});

describe('the group of disks', () => {
  it.skipIf(!isRoot)('is the only further group of a command that has to open them again', async () => {
    const launched = start(sleep(), { extra: [...ids, '--group', '1900456'] });
    launched.renew(60_000);
    const child = await launched.child();
    await vi.waitFor(() => expect(statusOf(child, 'Groups')).toBe('1900456'));
    expect(statusOf(child, 'Gid')).toBe('1900123 1900123 1900123 1900123');
  });
});

describe('wrong arguments', () => {
  it.each([
    '',
    '--lease 3 --status 4 --memory 8:5',
    '--lease 3 --status 4 --memory 8:5 --',
    '--lease 3 --status 4 --memory 0:5 -- /bin/true',
    '--lease 3 --status 4 --memory 8 -- /bin/true',
    '--lease 3x --status 4 --memory 8:5 -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 --limits 1 -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 --limits 0:1 -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 --ids 1: -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 --root 1 -- /bin/true',
    '--lease 3 --status 4 --limits 1:1 -- /bin/true',
    '--lease 3 --status 4 --memory 8:5 --last 5 --limits 1:1 -- /bin/true',
    '--lease 3 --status 4 --template 6 --last 5 --limits 1:1 -- /bin/true',
  ])('are refused: %s', (args) => {
    const { status, stderr } = spawnSync(launcher, args.split(' ').filter(Boolean), { encoding: 'utf8' });
    expect(stderr).toBe('launcher: wrong arguments\n');
    expect(status).toBe(125);
  });
});
