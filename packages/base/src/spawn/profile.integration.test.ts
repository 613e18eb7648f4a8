import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { compileHostile, outcome, plainSpawn, testIdentity } from '../testing/hostile.ts';
import { localSpawn } from './local.ts';
import type { Spawn } from './spawn.ts';

/**
 * Each attack runs twice: under the profile, which refuses it, and as a plain child process, with or without privilege, where it
 * succeeds. So a test fails when the profile gets a hole, and also when its attack is ineffective.
 */
const profile = localSpawn(testIdentity);
const unprivileged = plainSpawn(testIdentity);
const privileged = plainSpawn(null);

let root: string;
/** `shown` is bound read-only, `own` is bound writable, `outside` is not bound. Paths are the same inside and outside. */
const shown = () => join(root, 'shown');
const own = () => join(root, 'own');
const outside = () => join(root, 'outside');

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-profile-'));
  chmodSync(root, 0o711);
  for (const [directory, mode] of [
    [shown(), 0o755],
    [own(), 0o777],
    [outside(), 0o777],
  ] as const) {
    mkdirSync(directory);
    chmodSync(directory, mode);
  }
  await compileHostile(join(shown(), 'hostile'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function attack(spawn: Spawn, args: readonly string[]): Promise<string> {
  return outcome(spawn, {
    program: join(shown(), 'hostile'),
    args,
    binds: [
      { source: shown(), target: shown(), mode: 'ro' },
      { source: own(), target: own(), mode: 'rw' },
    ],
  });
}

describe.skipIf(process.getuid?.() !== 0)('the Spawn profile', () => {
  describe('refuses the system calls that attacks begin with', () => {
    it.each<[what: string, attack: string, without: Spawn]>([
      ['tracing a sibling of the same uid', 'attach', privileged],
      ['reading the memory of a sibling', 'read-memory', privileged],
      ['taking a descriptor of a sibling', 'take-descriptor', privileged],
      ['adding a key', 'add-key', unprivileged],
      ['joining a keyring', 'keyctl', unprivileged],
      ['a user namespace', 'unshare-user', unprivileged],
      ['a user namespace with a new process', 'clone-user', unprivileged],
      ['a mount namespace', 'unshare-mount', privileged],
      ['a network namespace', 'unshare-net', privileged],
      ['entering a namespace', 'setns', privileged],
      ['a mount', 'mount', privileged],
      ['changing the root directory', 'chroot', privileged],
      ['a raw socket', 'raw', privileged],
      ['a packet socket', 'packet', privileged],
      ['a packet socket under AF_INET', 'packet-of-inet', privileged],
      ['a netlink socket', 'netlink', unprivileged],
      ['a BPF map', 'bpf', privileged],
      ['performance counters', 'perf', privileged],
      ['io_uring', 'io-uring', privileged],
      ['userfaultfd', 'userfaultfd', unprivileged],
      ['an address space without randomness', 'personality', unprivileged],
    ])('%s', async (_what, name, without) => {
      expect(await attack(profile, [name, outside()])).toBe('EPERM');
      expect(await attack(without, [name, outside()])).toBe('done');
    });

    it.runIf(process.arch === 'x64')('kills a program that makes a 32-bit system call', async () => {
      expect(await attack(profile, ['i386'])).toMatch(/^159: Bad system call/);
      expect(await attack(unprivileged, ['i386'])).toBe('done');
    });
  });

  describe('has no network', () => {
    let server: Server;
    let connections: number;

    beforeEach(() => {
      connections = 0;
      server = createServer((socket) => {
        connections += 1;
        socket.destroy();
      });
      return () => server.close();
    });
    const listen = (where: { host: string; port: number } | { path: string }) =>
      new Promise<void>((resolve) => {
        server.listen(where, resolve);
      });

    it("that reaches a port of the host's loopback", async () => {
      await listen({ host: '127.0.0.1', port: 0 });
      const port = String((server.address() as { port: number }).port);
      expect(await attack(profile, ['tcp', port])).toBe('ECONNREFUSED');
      expect(connections).toBe(0);
      expect(await attack(unprivileged, ['tcp', port])).toBe('done');
      await expect.poll(() => connections).toBe(1);
    });

    it('that reaches an abstract unix socket of the host', async () => {
      const name = `fumehood-profile-${process.pid}`;
      await listen({ path: `\0${name}` });
      expect(await attack(profile, ['abstract', name])).toBe('ECONNREFUSED');
      expect(await attack(unprivileged, ['abstract', name])).toBe('done');
      await expect.poll(() => connections).toBe(1);
    });
  });

  describe('shows only the files that are bound:', () => {
    it('a file that only its owner may read cannot be read, even below a bind', async () => {
      const file = join(shown(), 'token');
      writeFileSync(file, 'secret', { mode: 0o600 });
      expect(await attack(profile, ['read', file])).toBe('EACCES');
      expect(await attack(privileged, ['read', file])).toBe('done');
    });

    it('a file outside of the binds does not exist, even if everybody may read it', async () => {
      const file = join(outside(), 'readable');
      writeFileSync(file, 'public', { mode: 0o644 });
      for (const path of [file, `/proc/1/root${file}`, `/proc/${process.pid}/root${file}`, '/etc/passwd'])
        expect(await attack(profile, ['read', path])).toBe('ENOENT');
      expect(await attack(unprivileged, ['read', file])).toBe('done');
      expect(await attack(unprivileged, ['read', '/etc/passwd'])).toBe('done');
    });

    it('a file can be written only below a writable bind', async () => {
      const foreign = join(outside(), 'written');
      expect(await attack(profile, ['write', join(own(), 'written')])).toBe('done');
      expect(await attack(profile, ['write', foreign])).toBe('ENOENT');
      expect(await attack(profile, ['write', join(own(), '../outside/written')])).toBe('ENOENT');
      for (const file of [join(shown(), 'hostile'), join(shown(), 'new'), '/usr/new', '/new', '/dev/shm/new'])
        expect(await attack(profile, ['write', file])).toMatch(/^(EROFS|EACCES|ETXTBSY)$/);
      expect(existsSync(foreign)).toBe(false);
      expect(readFileSync(join(own(), 'written'), 'latin1')).toBe('x');
      expect(await attack(unprivileged, ['write', foreign])).toBe('done');
      expect(await attack(privileged, ['write', join(shown(), 'new')])).toBe('done');
    });

    it('the home directory is empty', async () => {
      const home = { program: '/usr/bin/find', args: ['/tmp', '-mindepth', '1', '-maxdepth', '1'] };
      expect(await outcome(profile, home)).toBe('');
      expect(await outcome(privileged, home)).not.toBe('');
    });
  });

  describe('hides from a program', () => {
    it('the processes of the host, which it can neither list nor signal', async () => {
      // Process 1 is the profile's own; the program is the second.
      const numbers = (text: string) => text.split('\n').filter((name) => /^\d+$/.test(name));
      expect(numbers(await attack(profile, ['list', '/proc']))).toEqual(['1', '2']);
      expect(numbers(await attack(unprivileged, ['list', '/proc']))).toContain(String(process.pid));
      expect(await attack(profile, ['signal', String(process.pid)])).toBe('ESRCH');
      expect(await attack(privileged, ['signal', String(process.pid)])).toBe('done');
    });

    it('every environment variable that the request does not pass', async () => {
      vi.stubEnv('FUMEHOOD_TEST_SECRET', 'secret');
      const environment = async (spawn: Spawn) => {
        const request = { program: '/usr/bin/env', args: ['-0'], env: { GIVEN: 'a b=c\n"' } };
        return (await outcome(spawn, request)).split('\0').filter(Boolean);
      };
      expect((await environment(profile)).sort()).toEqual([
        'GIVEN=a b=c\n"',
        'HOME=/tmp',
        'LC_ALL=C.UTF-8',
        'PATH=/usr/bin:/bin',
        'PWD=/tmp',
      ]);
      expect(await environment(unprivileged)).toContain('FUMEHOOD_TEST_SECRET=secret');
      vi.unstubAllEnvs();
    });
  });
});
