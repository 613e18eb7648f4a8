import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JobRecord, jobRecordSchema } from '@fumehood/protocol';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findEmbeddedPostgres } from '../db/server/embedded.ts';
import { type InstanceFile, instanceFileSchema, type HelperSettings } from './config.ts';
import { writeAtomically } from './secrets.ts';

// These tests start the real processes, and as root with their real users.

const source = join(import.meta.dirname, '..');
const root = process.getuid?.() === 0;
/** A copy of what ships: the checkout may be in a home directory that the instance's user cannot enter. */
let shipped: string;
let directory: string;
let state: string;
let running: ChildProcess[];

beforeAll(async () => {
  shipped = mkdtempSync(join(tmpdir(), 'fumehood-shipped-'));
  chmodSync(shipped, 0o755);
  cpSync(process.execPath, join(shipped, 'node'), { dereference: true });
  // Everybody must be able to read the copy, whatever the modes of the checkout.
  const migrations = join(shipped, 'migrations');
  cpSync(join(source, 'db/migrations'), migrations, { recursive: true });
  chmodSync(migrations, 0o755);
  for (const name of readdirSync(migrations)) chmodSync(join(migrations, name), 0o644);
  await build({
    entryPoints: [join(source, 'main.ts')],
    outfile: join(shipped, 'instance.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    external: ['pg-native'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
});
afterAll(() => rmSync(shipped, { recursive: true, force: true }));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-helper-'));
  chmodSync(directory, 0o755);
  state = join(directory, 'state');
  running = [];
});
afterEach(async () => {
  for (const child of running) {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  rmSync(directory, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  /** Its stderr so far. */
  stderr(): string;
}

function start(changes: Partial<HelperSettings> = {}): Started {
  const config: HelperSettings = {
    version: '0.0.0-test',
    state,
    databaseUrl: null,
    embeddedPostgres: findEmbeddedPostgres(),
    node: join(shipped, 'node'),
    script: join(shipped, 'instance.mjs'),
    migrations: join(shipped, 'migrations'),
    port: 0,
    hosts: [],
    executor: root ? { uid: 1_900_000_001, gid: 1_900_000_001 } : null,
    spawnUid: root ? 1_900_000_003 : null,
    ...changes,
  };
  const file = join(directory, `helper-${running.length}.json`);
  writeAtomically(file, JSON.stringify(config), 0o600);
  const child = spawn(process.execPath, [join(source, 'helper/main.ts'), file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  running.push(child);
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return { child, stderr: () => stderr };
}

async function until<T>(what: string, find: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const giveUpAt = Date.now() + 20_000;
  while (Date.now() < giveUpAt) {
    const found = await find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited too long for ${what}`);
}

const instanceFile = (): InstanceFile | undefined => {
  try {
    return instanceFileSchema.parse(JSON.parse(readFileSync(join(state, 'run/instance.json'), 'utf8')));
  } catch {
    return undefined;
  }
};
const listening = (started: Started) =>
  until('the instance', () => {
    if (started.child.exitCode !== null) throw new Error(`the helper ended: ${started.stderr()}`);
    return instanceFile();
  });

async function api(method: string, path: string, body?: string): Promise<Response> {
  const token = readFileSync(join(state, 'run/token'), 'utf8').trim();
  return fetch(`${instanceFile()?.url}${path}`, {
    method,
    headers: { authorization: `token ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body }),
  });
}

const image = `sha256:${createHash('sha256').update('image').digest('hex')}`;
async function enqueue(): Promise<JobRecord> {
  await api('PUT', `/api/blobs/${image}`, 'image');
  const answer = await api('POST', '/api/jobs', JSON.stringify({ queue: 'runs', image, argv: ['true'] }));
  return jobRecordSchema.parse(await answer.json());
}

/** Returns the pid of the child whose command line contains the word. */
function pidOf(parent: number, word: string): number | undefined {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
  return children.map(Number).find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word));
}
const isAlive = (pid: number) => statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;

describe("the instance's helper", () => {
  test('starts each process as its own user, and leaves none after SIGTERM', async () => {
    const helper = start();
    await listening(helper);
    const pid = helper.child.pid as number;
    const postgres = pidOf(pid, 'postgres') as number;
    const instance = pidOf(pid, 'instance.mjs') as number;
    if (root) {
      const owners = [pid, postgres, instance].map((one) => statSync(`/proc/${one}`).uid);
      expect(owners[0]).toBe(0);
      expect(new Set(owners).size).toBe(3);
      expect(readFileSync(`/proc/${instance}/status`, 'utf8')).toMatch(/CapEff:\t0+\n/);
      expect(readFileSync(`/proc/${instance}/status`, 'utf8')).toMatch(/NoNewPrivs:\t1\n/);
    }
    expect(statSync(join(state, 'run/token')).mode & 0o777).toBe(0o600);
    expect(statSync(join(state, 'run/executor-credential')).mode & 0o777).toBe(0o600);
    const key = statSync(join(state, 'run/secrets-key'));
    expect(key.mode & 0o777).toBe(0o600);
    if (root) expect(key.uid).toBe(statSync(`/proc/${instance}`).uid);
    helper.child.kill('SIGTERM');
    await once(helper.child, 'exit');
    expect(helper.child.exitCode).toBe(0);
    expect([postgres, instance].filter(isAlive)).toEqual([]);
    expect(instanceFile()).toBeUndefined();
  });

  test.each(['instance.mjs', 'postgres'])(
    'starts %s again after kill -9, and nothing acknowledged is lost',
    async (name) => {
      const helper = start();
      const { url } = await listening(helper);
      const { id } = await enqueue();
      process.kill(pidOf(helper.child.pid as number, name) as number, 'SIGKILL');
      const back = await until('the instance again', async () => {
        const answer = await api('GET', `/api/jobs/${id}`).catch(() => undefined);
        return answer?.status === 200 ? answer : undefined;
      });
      expect(instanceFile()?.url).toBe(url);
      expect(await back.json()).toMatchObject({ id, state: 'queued' });
    },
  );

  test('takes its children down after kill -9, and the next helper has everything that was acknowledged', async () => {
    const helper = start();
    await listening(helper);
    const { id } = await enqueue();
    const pid = helper.child.pid as number;
    const others = [pidOf(pid, 'postgres') as number, pidOf(pid, 'instance.mjs') as number];
    process.kill(pid, 'SIGKILL');
    await until('their end', () => (others.some(isAlive) ? undefined : true));
    rmSync(join(state, 'run/instance.json'));
    await listening(start());
    expect(await (await api('GET', `/api/jobs/${id}`)).json()).toMatchObject({ id, state: 'queued' });
    expect((await api('HEAD', `/api/blobs/${image}`)).status).toBe(200);
  });

  test('refuses a database that another run uses, and says what to do', async () => {
    await listening(start());
    const second = start();
    await once(second.child, 'exit');
    expect(second.child.exitCode).toBe(1);
    expect(second.stderr()).toMatch(
      /in use by another run \(PostgreSQL with pid \d+\)\n {2}Stop that run first/,
    );
    expect((await api('GET', '/api/status')).status).toBe(200);
  });

  test('takes another port when its own is taken, and says so', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const helper = start({ port });
    const { url } = await listening(helper);
    taken.close();
    expect(url).not.toBe(`http://127.0.0.1:${port}`);
    expect(helper.stderr()).toContain(`"port":${port}`);
    expect((await api('GET', '/api/status')).status).toBe(200);
  });

  test('stops PostgreSQL when the instance cannot start, and says why', async () => {
    const files = { certificateFile: '/nonexistent.pem', keyFile: '/nonexistent.pem' };
    const helper = start({ tls: { address: '127.0.0.1', port: 0, ...files } });
    await once(helper.child, 'exit');
    expect(helper.child.exitCode).toBe(1);
    expect(helper.stderr()).toContain('fumehood: the instance cannot use /nonexistent.pem for TLS');
    expect(() => statSync(join(state, 'postgres/data/postmaster.pid'))).toThrow();
  });
});
