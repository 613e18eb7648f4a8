import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type Client, openClient } from '@fumehood/client';
import type { Job } from '@fumehood/protocol';

/**
 * Runs in the guest: `load.mjs CARELESS`, with what was acknowledged before on stdin, a line each. Starts the instance on the
 * disk at /state, says what is missing, and then has it acknowledge more and more, saying each, until the power fails.
 */

/** What the instance has answered for. */
export type Acknowledged =
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

/** A line of its output. */
export type Said =
  | { readonly acknowledged: Acknowledged }
  | { readonly missing: Acknowledged }
  | { readonly checked: number; readonly writeCache: string }
  | { readonly broken: string };

/** Whose fsync is taken out: nobody's, the stores', PostgreSQL's. */
export type Careless = 'nobody' | 'the instance' | 'PostgreSQL';

const state = '/state/fumehood';
const programs = import.meta.dirname;
const repository = 'acme/power';
const commit = 'c'.repeat(40);
const say = (line: Said) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const acknowledge = (acknowledged: Acknowledged) => say({ acknowledged });

interface Running {
  readonly url: string;
  readonly client: Client;
  readonly credential: string;
}

async function start(careless: Careless): Promise<Running> {
  mkdirSync(state, { recursive: true });
  const settings = join(state, 'postgres/data/postgresql.auto.conf');
  if (existsSync(settings)) writeFileSync(settings, careless === 'PostgreSQL' ? 'fsync = off\n' : '');
  // The instance asks only whether the commit's directory is there.
  const place = createHash('sha256').update(repository).digest('hex').slice(0, 32);
  mkdirSync(join(state, 'instance/repositories', place, `${commit}.git`), { recursive: true });
  const listening = join(state, 'run/instance.json');
  rmSync(listening, { force: true });
  const config = {
    version: '0.0.0-test',
    ...{ state, databaseUrl: null, embeddedPostgres: null, node: process.execPath },
    script: join(programs, careless === 'the instance' ? 'careless.mjs' : 'instance.mjs'),
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
  const { url } = JSON.parse(readFileSync(listening, 'utf8')) as { url: string };
  const secret = (name: string) => readFileSync(join(state, 'run', name), 'utf8').trim();
  return {
    url,
    client: openClient({ url, token: secret('token') }),
    credential: secret('executor-credential'),
  };
}

async function untilListening(helper: ChildProcess, file: string): Promise<void> {
  let complaints = '';
  helper.stderr?.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-4_000);
  });
  for (let tries = 0; !existsSync(file); tries += 1) {
    if (helper.exitCode !== null || tries > 1_800) throw new Error(complaints);
    await sleep(100);
  }
}

/** A line of a job's log, by its number. */
const logLine = (id: number, n: number) => `job ${id} says line ${n}\n`;
const logText = (id: number) => Array.from({ length: 4 }, (_, n) => logLine(id, n)).join('');

async function isThere({ client }: Running, what: Acknowledged): Promise<boolean> {
  if (what.kind === 'upload') return (await client.upload(what.id)).id === what.id;
  if (what.kind === 'job') return (await client.job(what.id)).id === what.id;
  if (what.kind === 'end') return (await client.job(what.id)).state === 'completed';
  if (what.kind === 'blob') {
    const bytes = readFileSync(join(state, 'instance/blobs/sha256', what.digest.replace('sha256:', '')));
    const actual = createHash('sha256').update(bytes).digest('hex');
    return actual === what.digest.replace('sha256:', '') && (await client.hasBlob(what.digest));
  }
  const { id, attempt, entry, bytes } = what;
  // The events of a job end when it does.
  if (['queued', 'processing'].includes((await client.job(id)).state)) await client.cancel(id);
  let log = '';
  for await (const event of client.events(id))
    if (event.type === 'output' && event.attempt === attempt && event.entry === entry)
      log += Buffer.from(event.data, 'base64').toString();
  return log.length >= bytes && logText(id).startsWith(log);
}

async function check(running: Running): Promise<number> {
  const lines = (await text(process.stdin)).split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const what = JSON.parse(line) as Acknowledged;
    if (!(await isThere(running, what).catch(() => false))) say({ missing: what });
  }
  return lines.length;
}

const executorName = 'power';
async function post(
  running: Running,
  path: string,
  body: object | string | Buffer,
  job?: Job,
): Promise<Response> {
  const isBytes = Buffer.isBuffer(body) || typeof body === 'string';
  const response = await fetch(`${running.url}/.executors/${path}`, {
    method: 'POST',
    headers: {
      ...(job
        ? {
            authorization: `Bearer ${job.token}`,
            'x-sourcegraph-job-id': String(job.id),
            'x-sourcegraph-executor-name': executorName,
          }
        : { authorization: `token-executor ${running.credential}` }),
      'x-fumehood-protocol': '2',
      ...(!isBytes && { 'content-type': 'application/json' }),
    },
    body: isBytes ? new Uint8Array(Buffer.from(body)) : JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

async function putBlob({ client }: Running): Promise<string> {
  const bytes = randomBytes(20_000);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  await client.putBlob(digest, Readable.from([bytes]), bytes.length);
  acknowledge({ kind: 'blob', digest });
  return digest;
}

async function lease(running: Running): Promise<Job | null> {
  const total = { cpus: 4, memoryMiB: 8192, scratchMiB: 65_536 };
  const free = { freeCpus: 4, freeMemoryMiB: 8192, freeScratchMiB: 65_536, total };
  const response = await post(running, 'queue/dequeue', {
    executorName,
    version: '0.1.0',
    queues: ['codeintel'],
    fumehood: { tiers: ['vm-emulated'], arch: 'x64', waitMs: 0, ...free },
  });
  return response.status === 204 ? null : ((await response.json()) as Job);
}

/** One job from its beginning to its end, everything of it acknowledged. */
async function runJob(running: Running): Promise<void> {
  const image = await putBlob(running);
  const created = await running.client.createJob({
    ...{ queue: 'codeintel', repository, commit, indexer: { name: 'test', image, argv: ['true'] } },
    ...{ accept: ['vm-emulated'] },
  });
  acknowledge({ kind: 'job', id: created.id });
  const job = await lease(running);
  if (!job) return; // another worker has it
  const { id } = job;
  const mine = { executorName, jobId: id };
  const attempt = job.fumehood?.attempt ?? 0;
  const entryFacts = { key: 'step', command: [], startTime: new Date().toISOString() };
  const added = await post(running, 'queue/codeintel/addExecutionLogEntry', { ...mine, ...entryFacts }, job);
  const entry = Number(await added.text());
  let bytes = 0;
  for (let n = 0; n < 4; n += 1) {
    const line = logLine(id, n);
    const path = `queue/codeintel/appendLog?entry=${entry}&stream=stdout&offset=${bytes}`;
    await post(running, path, line, job);
    bytes += line.length;
    acknowledge({ kind: 'log', id, attempt, entry, bytes });
  }
  const place = `repository=${repository}&commit=${commit}&indexerName=test&root=${id}`;
  const emptyIndex = gzipSync(Buffer.from([0x0a, 0x00]));
  const uploaded = await post(running, `scip/upload?${place}`, emptyIndex, job);
  acknowledge({ kind: 'upload', id: Number(((await uploaded.json()) as { id: string }).id) });
  const facts = {
    tier: 'vm-emulated',
    vmm: 'qemu',
    exitCode: 0,
    guest: null,
    inspection: null,
    leftOver: {},
  };
  await post(running, 'queue/codeintel/result', { ...mine, ...facts }, job);
  await post(running, 'queue/codeintel/markComplete', mine, job);
  acknowledge({ kind: 'end', id });
}

/** A job that a slow machine's lease has run out on is given up; what of it was acknowledged has been said. */
async function work(running: Running): Promise<never> {
  for (;;) await runJob(running).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
}

try {
  const running = await start(process.argv[2] as Careless);
  const writeCache = readFileSync('/sys/block/vdc/queue/write_cache', 'utf8').trim();
  say({ checked: await check(running), writeCache });
  await Promise.all([work(running), work(running), work(running)]);
} catch (error) {
  say({ broken: String(error) });
  process.exit(1);
}
