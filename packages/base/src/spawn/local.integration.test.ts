import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  compileHostile,
  living,
  outcome,
  plainSpawn,
  startParent,
  testIdentity,
} from '../testing/hostile.ts';
import { localSpawn } from './local.ts';
import { defaultLimits } from './profile.ts';
import { runToEnd } from './run.ts';
import type { SpawnedProcess, SpawnLimits, SpawnRequest } from './spawn.ts';

const profile = localSpawn(testIdentity);
const plain = plainSpawn(testIdentity);
const alive = () => living(testIdentity.uid);

let root: string;
const own = () => join(root, 'own');

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-local-'));
  chmodSync(root, 0o711);
  mkdirSync(own());
  chmodSync(own(), 0o777);
  await compileHostile(join(root, 'hostile'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => {
  for (const pid of alive()) process.kill(pid, 'SIGKILL'); // the programs that ran without the profile
});

function request(program: string, args: readonly string[], limits: SpawnLimits = {}): SpawnRequest {
  const binds = [
    { source: join(root, 'hostile'), target: join(root, 'hostile'), mode: 'ro' as const },
    { source: own(), target: own(), mode: 'rw' as const },
  ];
  return { label: 'hostile', program, args, binds, limits };
}
const attack = (args: readonly string[], limits?: SpawnLimits) =>
  request(join(root, 'hostile'), args, limits);

/** Resolves when the program has printed its first output. */
async function started(process: SpawnedProcess): Promise<SpawnedProcess> {
  process.stdin.end();
  await once(process.stdout, 'data');
  return process;
}

describe.skipIf(process.getuid?.() !== 0)('a program under the profile', () => {
  describe('is limited', () => {
    it.each<[what: string, args: () => string[], limits: SpawnLimits, refusal: string]>([
      ['memory', () => ['memory'], { memoryBytes: 512 * 2 ** 20 }, 'ENOMEM'],
      ['open files', () => ['files'], { files: 100 }, 'EMFILE'],
      ['processes', () => ['processes'], { processes: 100 }, 'EAGAIN'],
      ['the size of a file', () => ['grow', join(own(), 'big')], { fileBytes: 65_536 }, 'EFBIG'],
      ['core dumps', () => ['core'], {}, 'EPERM'],
      ['the size of /tmp', () => ['fill', '/tmp'], {}, 'ENOSPC'],
    ])('in %s', async (_what, args, limits, refusal) => {
      expect(await outcome(profile, attack(args(), limits))).toBe(refusal);
      expect(await outcome(plain, attack(args()))).toBe('done');
    });

    it('in the number of its own processes: those of another program do not count', async () => {
      const many = attack(['processes'], { processes: 250 });
      expect(await Promise.all([1, 2, 3].map(() => outcome(profile, many)))).toEqual([
        'done',
        'done',
        'done',
      ]);
    });

    it('in wall time', async () => {
      const limited = await profile(attack(['wait'], { timeMs: 500 }));
      const free = await started(await plain(attack(['wait'], { timeMs: 500 })));
      expect(await limited.exited).toEqual({ code: null, signal: 'SIGKILL', timedOut: true });
      await delay(500);
      expect(alive()).toHaveLength(1);
      free.kill();
      await free.exited;
    });

    it('in the size of its output', async () => {
      const endless = request('/usr/bin/yes', []);
      await expect(runToEnd(profile, endless, { maxStdoutBytes: 100_000 })).rejects.toMatchObject({
        code: 'too_big',
      });
      await expect.poll(alive).toEqual([]);
      const free = await plain(endless);
      let bytes = 0;
      for await (const chunk of free.stdout) if ((bytes += (chunk as Buffer).length) > 1_000_000) break;
      free.kill();
      await free.exited;
    });
  });

  describe('has, as the kernel reports,', () => {
    let pid: number;
    const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1');
    const status = (name: string) =>
      new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(read('status'))?.[1];

    async function inspected(check: () => void): Promise<void> {
      const running = await started(await profile(attack(['wait'])));
      pid = alive().find((one) => readFileSync(`/proc/${one}/comm`, 'latin1') === 'hostile\n') ?? 0;
      try {
        check();
      } finally {
        running.kill();
        await running.exited;
      }
    }

    it('its own ids, no groups, no capabilities, no way to gain any, and a seccomp filter', () =>
      inspected(() => {
        const { uid, gid } = testIdentity;
        expect(status('Uid')?.split('\t')).toEqual(Array(4).fill(String(uid)));
        expect(status('Gid')?.split('\t')).toEqual(Array(4).fill(String(gid)));
        expect(status('Groups')).toBe('');
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
          expect(status(set), set).toBe('0000000000000000');
        expect(status('NoNewPrivs')).toBe('1');
        expect(status('Seccomp')).toBe('2');
        expect(readFileSync('/proc/self/status', 'latin1')).toMatch(/^Seccomp:\t0$/m);
      }));

    it('no capabilities either when it keeps the ids of root', async () => {
      const request = { label: 'grep', program: '/usr/bin/grep', args: ['^Cap', '/proc/self/status'] };
      const sets = (await runToEnd(localSpawn(null), request)).stdout.toString().trimEnd().split('\n');
      expect(sets).toHaveLength(5);
      for (const set of sets) expect(set).toMatch(/\t0000000000000000$/);
    });

    it('no namespace in common with this process, except the time namespace', () =>
      inspected(() => {
        const names = readdirSync(`/proc/${pid}/ns`).filter((name) => !name.startsWith('time'));
        expect(names).toEqual(expect.arrayContaining(['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts']));
        for (const name of names)
          expect(readlinkSync(`/proc/${pid}/ns/${name}`)).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
      }));

    it('no more open files than its caller', () => {
      const script = `
        const { localSpawn, runToEnd } = await import(${JSON.stringify(join(import.meta.dirname, '../index.ts'))});
        const shell = { label: 'sh', program: '/bin/sh', args: ['-c', 'ulimit -n'] };
        const { stdout } = await runToEnd(localSpawn(${JSON.stringify(testIdentity)}), shell);
        process.stdout.write(stdout);`;
      const limited = ['--nofile=256:256', process.execPath, '--input-type=module', '--eval', script];
      const { stdout, stderr } = spawnSync('/usr/bin/prlimit', limited, { encoding: 'utf8' });
      expect(stdout, stderr).toBe('256\n');
    });

    it('the default limits', () =>
      inspected(() => {
        const { memoryBytes, fileBytes, files, processes } = defaultLimits;
        for (const [name, limit] of Object.entries({
          'Max address space': memoryBytes,
          'Max file size': fileBytes,
          'Max open files': files,
          'Max processes': processes,
          'Max core file size': 0,
        }))
          expect(read('limits')).toMatch(new RegExp(`^${name}\\s+${limit}\\s+${limit}\\s`, 'm'));
      }));
  });

  it('gets an environment that no command line contains', async () => {
    const passed = { ...attack(['wait', 'argument']), env: { TOKEN: 'not-for-everybody' } };
    const running = await started(await profile(passed));
    const lines = alive().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    const shown = (text: string) => lines.filter((line) => line.includes(text)).length;
    expect(shown('not-for-everybody')).toBe(0);
    expect(shown('argument')).toBe(lines.length);
    running.kill();
    await running.exited;
    const injected = { ...attack(['wait']), env: { A: 'x\0--bind\0/\0/host' } };
    await expect(profile(injected)).rejects.toMatchObject({ code: 'spawn_failed' });
  });

  it('gets three descriptors, and none that its parent inherited without knowing of it', async () => {
    const file = join(root, 'secret');
    writeFileSync(file, 'secret');
    const secret = openSync(file, 'r');
    const listing = request('/usr/bin/find', ['/proc/self/fd', '-type', 'l', '-printf', '%f %l\\n']);
    const others = async (how: 'profile' | 'plain') => {
      const parent = startParent({ identity: testIdentity, request: listing, how }, secret);
      const lines = (await text(parent.stdout)).trim().split('\n');
      // Left out: the descriptor of the listing's own directory, which is the first free one.
      return lines.filter((line) => !/^[0-3] | \/proc\//.test(line));
    };
    const inside = await others('profile');
    expect(inside).toContain('40 /dev/null');
    expect(inside.filter((line) => !line.endsWith(' /dev/null'))).toEqual([]);
    expect(await others('plain')).toContain(`40 ${file}`);
    closeSync(secret);
  });
});
