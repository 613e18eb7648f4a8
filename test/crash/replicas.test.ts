import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@fumehood/base';
import { type Client, openClient } from '@fumehood/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type ScriptedAgent,
  startScriptedAgent,
} from '../../packages/executor/src/testing/scripted-agent.ts';
import { openHttp } from '../../packages/executor/src/uplink/http.ts';
import { applyRoute, routeSchema } from '../../packages/executor/src/uplink/network-route.ts';
import { findEmbeddedPostgres } from '../../packages/instance/src/db/server/embedded.ts';
import { type Database, startDatabase } from '../../packages/instance/src/db/server/start.ts';
import { instanceUsers } from '../../packages/instance/src/helper/users.ts';
import { freePort, type ProxyServer, startNginx } from '../integration/behind-proxy-servers.ts';
import { makeAuthority } from '../integration/certificates.ts';
import { long } from '../long.ts';
import { signal, treeOf } from './processes.ts';
import { retry } from './retry.ts';

/**
 * Tests replicas of an instance as an admin runs them: `fumehood instance start` with one database, one shared directory and a state
 * directory each, behind nginx. They are killed while people create jobs and executors run them, without a VM.
 */
const count = long ? 3 : 2;
const kills = long ? 30 : 4;
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

interface Replica {
  readonly state: string;
  readonly port: number;
  helper: ChildProcess;
}

let directory: string;
let database: Database;
let proxy: ProxyServer;
let undoRoute: () => void;
let client: Client;
const replicas: Replica[] = [];
const shared = () => join(directory, 'shared');

/** Starts a replica, as a supervisor does, which does not wait for it. */
function start(state: string): ChildProcess {
  const { host } = database.connection as { host: string };
  const env = {
    PATH: process.env.PATH,
    FUMEHOOD_STATE: state,
    DATABASE_URL: `postgres://fumehood@localhost/fumehood?host=${encodeURIComponent(host)}`,
  };
  return spawn(process.execPath, [command, 'instance', 'start'], { env, stdio: 'ignore' });
}

async function listens({ port, helper }: Replica): Promise<void> {
  await retry(async () => {
    if (helper.exitCode !== null) throw new Error(`the replica ended with ${helper.exitCode}`);
    const socket = connectTo(port, '127.0.0.1');
    await once(socket, 'connect').finally(() => socket.destroy());
  });
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-replicas-'));
  chmodSync(directory, 0o755);
  mkdirSync(shared());
  const { username } = userInfo();
  const users = instanceUsers();
  database = await startDatabase(
    {
      directory: join(directory, 'postgres'),
      runAs: users.postgres,
      admin: username,
      owner: users.instance.name,
      searchPath: process.env.PATH ?? '',
      embeddedPackage: findEmbeddedPostgres(),
      settings: { log_min_messages: 'fatal', log_checkpoints: 'off' },
    },
    systemClock,
  );
  for (let n = 0; n < count; n += 1) {
    const [state, port] = [join(directory, `state-${n}`), await freePort()];
    mkdirSync(state);
    writeFileSync(join(state, 'settings.json'), JSON.stringify({ port, shared: shared() }));
    // It takes each replica some seconds to make its programs: the others get those of the first.
    if (n > 0)
      for (const name of ['fumehood-state', 'runtime'])
        cpSync(join(directory, 'state-0', name), join(state, name), { recursive: true });
    replicas.push({ state, port, helper: start(state) });
    await listens(replicas[n] as Replica);
  }
  const authority = makeAuthority(directory, 'ours');
  const files = authority.issue('proxy', ['localhost']);
  proxy = await startNginx({ directory, files, instances: replicas.map(({ port }) => port) });
  undoRoute = await applyRoute(proxy.url, routeSchema.parse({ caFile: authority.caFile }));
  const token = readFileSync(join(shared(), 'secrets/token'), 'utf8').trim();
  client = openClient({ url: proxy.url, token });
});
afterAll(async () => {
  undoRoute?.();
  await proxy?.[Symbol.asyncDispose]();
  for (const { helper } of replicas) {
    const exited = once(helper, 'exit');
    if (helper.exitCode !== null || helper.signalCode !== null) continue;
    helper.kill('SIGTERM');
    await exited;
  }
  await database?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const image = Buffer.from('an image archive');
const digest = `sha256:${createHash('sha256').update(image).digest('hex')}`;
/** What the program of a job prints. */
const outputOf = (id: number) => `job ${id} `.repeat(1_000);

/** Reads the job's image and prints, as an executor does; any replica may answer each request. */
const run: ScriptedAgent['run'] = async ({ id }, _lease, routes) => {
  const entry = { key: 'step.docker.0', command: [], startTime: new Date().toISOString() };
  try {
    const path = routes.blobPath(digest);
    const got = await retry(async () => {
      const answer = await routes.open({ method: 'GET', path, headers: {}, action: 'get the image' });
      if (!answer.ok) throw new Error(`the image is answered with ${answer.status}`);
      return await answer.text();
    }, 20);
    if (got !== String(image)) throw new Error('the image is another one');
    const number = await routes.addEntry(entry);
    const bytes = Buffer.from(outputOf(id));
    for (let offset = 0; offset < bytes.length; offset += 4_000)
      await routes.append(number, 'stdout', offset, new Uint8Array(bytes.subarray(offset, offset + 4_000)));
    await routes.updateEntry(number, entry, { exitCode: 0, durationMs: 1 });
    return { result: null, failure: null, machine: null };
  } catch (failure) {
    return { result: null, failure, machine: null };
  }
};

/** Kills a replica's instance, which its helper starts again, or all of it, which is started again. */
async function kill(replica: Replica, all: boolean): Promise<void> {
  const helper = replica.helper.pid as number;
  const instance = treeOf(helper).find(({ command }) => command.includes('/instance.mjs'));
  if (!all) return signal(instance?.pid as number, 'SIGKILL');
  const exited = once(replica.helper, 'exit');
  signal(helper, 'SIGKILL');
  await exited;
  await sleep(500);
  replica.helper = start(replica.state);
}

test('replicas take over the first secrets and the key from the directory that they share', () => {
  for (const name of ['token', 'executor-credential', 'secrets-key']) {
    const common = readFileSync(join(shared(), 'secrets', name), 'utf8');
    const own = replicas.map(({ state }) => readFileSync(join(state, 'run', name), 'utf8'));
    expect(own, name).toEqual(Array(count).fill(common));
  }
});

test(
  'kill -9 of replicas, one after the other, loses no job and no output that was acknowledged, and completes no job twice',
  async () => {
    const secret = readFileSync(join(shared(), 'secrets/executor-credential'), 'utf8').trim();
    const trouble: string[] = [];
    const agents = Array.from({ length: 3 }, (_, n) =>
      startScriptedAgent({
        ...{ name: `executor-${n}`, http: openHttp(proxy.url), credential: secret, run },
        onTrouble: (message) => void trouble.push(message),
      }),
    );
    const acknowledged: number[] = [];
    const followed: Promise<string>[] = [];
    const created = new AbortController();
    try {
      await client.putBlob(digest, Readable.from([image]), image.length);
      const create = async (person: number) => {
        for (let n = 0; !created.signal.aborted; n += 1) {
          const job = {
            queue: 'runs' as const,
            image: digest,
            argv: ['true'],
            accept: ['vm-emulated' as const],
          };
          const settings = { maxResets: 20, maxRetries: 20, retryPauseMs: 100 };
          const idempotencyKey = `person-${person}-job-${n}`;
          const { id } = await retry(() => client.createJob({ ...job, ...settings }, { idempotencyKey }));
          acknowledged.push(id);
          if (n % 5 === 0) followed.push(outputFrom(id).then((output) => `${id} ${output === outputOf(id)}`));
          await sleep(50);
        }
      };
      const creators = [create(0), create(1)];
      for (let n = 0; n < kills; n += 1) {
        const victim = replicas[n % count] as Replica;
        await kill(victim, n % 2 === 1);
        await sleep(1_000);
        await listens(victim);
      }
      created.abort();
      await Promise.all(creators);
      const ends = await Promise.all(followed);
      expect(ends.filter((end) => !end.endsWith(' true'))).toEqual([]);
      for (const id of acknowledged) {
        const state = async () => (await retry(() => client.job(id))).state;
        await expect.poll(state, { timeout: 60_000 }).toBe('completed');
        const outcomes = (await client.attempts(id)).map(({ outcome }) => outcome);
        expect(
          outcomes.filter((outcome) => outcome === 'completed'),
          `job ${id}`,
        ).toHaveLength(1);
      }
      expect(new Set(acknowledged).size).toBe(acknowledged.length);
      console.log(
        `${acknowledged.length} jobs, ${kills} kills of ${count} replicas, ${trouble.length} troubles of executors`,
      );
    } finally {
      created.abort();
      for (const stop of agents) await stop();
    }
  },
  long ? 600_000 : 120_000,
);

/** Follows a job to its end, and returns the output of its last attempt. */
async function outputFrom(id: number): Promise<string> {
  const outputs = new Map<number, string>();
  for await (const event of client.events(id)) {
    if (event.type !== 'output') continue;
    const { attempt, data } = event;
    outputs.set(attempt, (outputs.get(attempt) ?? '') + Buffer.from(data, 'base64').toString());
  }
  return [...outputs.values()].at(-1) ?? '';
}
