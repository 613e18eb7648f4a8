import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type Client, openClient } from '@fumehood/client';
import type { HelperSettings, InstanceFile } from '../../../packages/instance/src/helper/config.ts';
import {
  type ExecutorClient,
  executorClient,
} from '../../../packages/instance/src/testing/executor-client.ts';

/**
 * Runs in the guest: `load.mjs SYNC_FAULT`, with the writes that the instance acknowledged before on stdin, a JSON object a line.
 * Starts the instance on the disk at /state and reports which of these writes are missing. Then it makes the instance acknowledge
 * more writes and reports each, until the power fails.
 */

/** A write that the instance has acknowledged. */
export type AcknowledgedWrite =
  | { readonly kind: 'blob'; readonly digest: string }
  | { readonly kind: 'job'; readonly id: number }
  | {
      readonly kind: 'log';
      readonly id: number;
      readonly attempt: number;
      readonly entry: number;
      readonly bytes: number;
    }
  | { readonly kind: 'upload'; readonly id: number }
  | { readonly kind: 'end'; readonly id: number };

/** A line of the program's output. */
export type Report =
  | { readonly acknowledged: AcknowledgedWrite }
  | { readonly missing: AcknowledgedWrite }
  | { readonly checked: number; readonly writeCache: string }
  | { readonly startError: string };

/** Which process does not sync its files. */
export type SyncFault = 'none' | 'the instance' | 'PostgreSQL';

const state = '/state/fumehood';
const programs = import.meta.dirname;
const repository = 'acme/power';
const commit = 'c'.repeat(40);
const report = (line: Report) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const reportAcknowledged = (acknowledged: AcknowledgedWrite) => report({ acknowledged });

interface Instance {
  readonly client: Client;
  readonly executor: ExecutorClient;
}

/** Starts the instance's helper and resolves when the instance listens. */
async function startInstance(fault: SyncFault): Promise<Instance> {
  mkdirSync(state, { recursive: true });
  const settings = join(state, 'postgres/data/postgresql.auto.conf');
  if (existsSync(settings)) writeFileSync(settings, fault === 'PostgreSQL' ? 'fsync = off\n' : '');
  // The instance takes a commit as present if its directory exists.
  const directory = createHash('sha256').update(repository).digest('hex').slice(0, 32);
  mkdirSync(join(state, 'instance/repositories', directory, `${commit}.git`), { recursive: true });
  const listening = join(state, 'run/instance.json');
  rmSync(listening, { force: true });
  const config: HelperSettings = {
    version: '0.0.0-test',
    ...{ state, databaseUrl: null, embeddedPostgres: null, node: process.execPath },
    script: join(programs, fault === 'the instance' ? 'instance-without-fsync.mjs' : 'instance.mjs'),
    migrations: join(programs, 'migrations'),
    ...{ port: 0, executor: null, spawnUid: null, upstream: {}, compatibility: {} },
  };
  writeFileSync('/tmp/instance-helper.json', JSON.stringify(config));
  const helper = spawn(
    process.execPath,
    [join(programs, 'instance-helper.mjs'), '/tmp/instance-helper.json'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  await untilListening(helper, listening);
  const { url } = JSON.parse(readFileSync(listening, 'utf8')) as InstanceFile;
  const secret = (name: string) => readFileSync(join(state, 'run', name), 'utf8').trim();
  return {
    client: openClient({ url, token: secret('token') }),
    executor: executorClient({ url, credential: secret('executor-credential'), name: 'power' }),
  };
}

async function untilListening(helper: ChildProcess, file: string): Promise<void> {
  let stderr = '';
  helper.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-4_000);
  });
  for (let tries = 0; !existsSync(file); tries += 1) {
    if (helper.exitCode !== null || tries > 1_800) throw new Error(stderr);
    await sleep(100);
  }
}

/** Returns line `n` of the log of a job. */
const logLine = (id: number, n: number) => `job ${id} says line ${n}\n`;
const logText = (id: number) => Array.from({ length: 4 }, (_, n) => logLine(id, n)).join('');

/** Returns whether the instance still has a write that it acknowledged. */
async function isStored({ client }: Instance, write: AcknowledgedWrite): Promise<boolean> {
  if (write.kind === 'upload') return (await client.upload(write.id)).id === write.id;
  if (write.kind === 'job') return (await client.job(write.id)).id === write.id;
  if (write.kind === 'end') return (await client.job(write.id)).state === 'completed';
  if (write.kind === 'blob') {
    const expected = write.digest.replace('sha256:', '');
    const bytes = readFileSync(join(state, 'instance/blobs/sha256', expected));
    const actual = createHash('sha256').update(bytes).digest('hex');
    return actual === expected && (await client.hasBlob(write.digest));
  }
  const { id, attempt, entry, bytes } = write;
  // The stream of a job's events ends only when the job has ended.
  if (['queued', 'processing'].includes((await client.job(id)).state)) await client.cancel(id);
  let log = '';
  for await (const event of client.events(id))
    if (event.type === 'output' && event.attempt === attempt && event.entry === entry)
      log += Buffer.from(event.data, 'base64').toString();
  return log.length >= bytes && logText(id).startsWith(log);
}

/** Reports which of the writes on stdin are missing. Returns how many it checked. */
async function reportMissing(instance: Instance): Promise<number> {
  const lines = (await text(process.stdin)).split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const write = JSON.parse(line) as AcknowledgedWrite;
    if (!(await isStored(instance, write).catch(() => false))) report({ missing: write });
  }
  return lines.length;
}

async function putBlob({ client }: Instance): Promise<string> {
  const bytes = randomBytes(20_000);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  await client.putBlob(digest, Readable.from([bytes]), bytes.length);
  reportAcknowledged({ kind: 'blob', digest });
  return digest;
}

/** Resolves with the response. Rejects with its status and text if the instance refused the request. */
async function accepted(response: Promise<Response>): Promise<Response> {
  const { ok, url, status } = await response;
  if (!ok) throw new Error(`${url}: ${status} ${await (await response).text()}`);
  return response;
}

/** Creates a job, runs it to its end as an executor, and reports every write that the instance acknowledges on the way. */
async function runJob(instance: Instance): Promise<void> {
  const image = await putBlob(instance);
  const created = await instance.client.createJob({
    ...{ queue: 'codeintel', repository, commit, indexer: { name: 'test', image, argv: ['true'] } },
    ...{ accept: ['vm-emulated'] },
  });
  reportAcknowledged({ kind: 'job', id: created.id });
  const job = await instance.executor.lease({ queues: ['codeintel'] });
  if (!job) return; // another worker leased it
  const { id } = job;
  const routes = instance.executor.job(job);
  const attempt = job.fumehood?.attempt ?? 0;
  const startTime = new Date().toISOString();
  const added = await accepted(routes.addEntry({ key: 'step', command: [], startTime }));
  const entry = Number(await added.text());
  let bytes = 0;
  for (let n = 0; n < 4; n += 1) {
    const line = logLine(id, n);
    await accepted(routes.append(entry, 'stdout', bytes, line));
    bytes += line.length;
    reportAcknowledged({ kind: 'log', id, attempt, entry, bytes });
  }
  const emptyIndex = gzipSync(Buffer.from([0x0a, 0x00]));
  const query = { repository, commit, indexerName: 'test', root: String(id) };
  const uploaded = await accepted(routes.upload(query, emptyIndex));
  reportAcknowledged({ kind: 'upload', id: Number(((await uploaded.json()) as { id: string }).id) });
  const result = { tier: 'vm-emulated', vmm: 'qemu', exitCode: 0, guest: null, inspection: null } as const;
  await accepted(routes.result({ ...result, leftOver: {} }));
  await accepted(routes.complete());
  reportAcknowledged({ kind: 'end', id });
}

/** Runs jobs forever. On a slow machine the lease of a job may run out: the job is given up, and its acknowledged writes are reported. */
async function runJobs(instance: Instance): Promise<never> {
  for (;;) await runJob(instance).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
}

try {
  const instance = await startInstance(process.argv[2] as SyncFault);
  const writeCache = readFileSync('/sys/block/vdc/queue/write_cache', 'utf8').trim();
  report({ checked: await reportMissing(instance), writeCache });
  await Promise.all([runJobs(instance), runJobs(instance), runJobs(instance)]);
} catch (error) {
  report({ startError: String(error) });
  process.exit(1);
}
