import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type JobRecord, jobRecordSchema } from '@fumehood/protocol';
import { beforeEach, expect, test } from 'vitest';
import { executorClient } from '../../packages/instance/src/testing/executor-client.ts';
import { Stack } from '../stack.ts';

const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

let first: Stack;
let second: Stack;
let started: ChildProcess[];
beforeEach(async () => {
  [first, second] = [await Stack.make({ fresh: true }), await Stack.make({ fresh: true })];
  started = [];
  return async () => {
    for (const child of started.filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    )) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await first.stop();
    await second.stop();
  };
});
function start({ state }: Stack, args: readonly string[]): ChildProcess {
  const env = { ...process.env, FUMEHOOD_STATE: state };
  const child = spawn(process.execPath, [command, ...args], { env, stdio: 'ignore' });
  started.push(child);
  return child;
}

/** Starts an instance in the foreground. Returns its URL, and a function that sends requests with the token of its state directory. */
async function startInstance(stack: Stack) {
  writeFileSync(join(stack.state, 'settings.json'), '{"port": 0}');
  const child = start(stack, ['instance', 'start']);
  const file = join(stack.state, 'run/instance.json');
  await expect.poll(() => existsSync(file), { timeout: 30_000 }).toBe(true);
  const { url } = JSON.parse(readFileSync(file, 'utf8')) as { url: string };
  const token = readFileSync(join(stack.state, 'run/token'), 'utf8').trim();
  const send = (method: string, path: string, body?: Buffer | object) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `token ${token}`,
        ...(body && !Buffer.isBuffer(body) && { 'content-type': 'application/json' }),
      },
      ...(body && { body: Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body) }),
    });
  return { child, url, send };
}

test('an instance that runs is backed up, and restored into another state directory, also after the restore was killed', async () => {
  const file = join(first.state, 'backup');
  expect(await first.fumehood(['backup', file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no instance was ever started') as string,
  });
  const { url, send, child } = await startInstance(first);
  const image = randomBytes(4_000_000);
  const digest = `sha256:${createHash('sha256').update(image).digest('hex')}`;
  expect((await send('PUT', `/api/blobs/${digest}`, image)).status).toBe(201);
  const credential = readFileSync(join(first.state, 'run/executor-credential'), 'utf8').trim();
  const executor = executorClient({ url, credential });
  const outputs = new Map<number, Buffer>();
  for (let n = 0; n < 12; n += 1) {
    await send('POST', '/api/jobs', {
      queue: 'runs',
      image: digest,
      argv: ['true'],
      accept: ['vm-emulated'],
    });
    const job = await executor.lease();
    if (!job) throw new Error('there was no job');
    const output = randomBytes(400_000);
    const routes = executor.job(job);
    await routes.addEntry({ key: 'step.docker.0', command: ['true'], startTime: '2026-01-02T03:04:05Z' });
    expect((await routes.append(1, 'stdout', 0, output)).status).toBe(200);
    await routes.complete();
    outputs.set(job.id, output);
  }
  const created = await first.fumehood(['executors', 'credentials', 'create', 'lab', '--queue', 'runs']);
  const made = await first.fumehood(['backup', file, '--json']);
  expect(made.code, made.stderr).toBe(0);
  expect(JSON.parse(made.stdout)).toMatchObject({ file, jobs: 12, images: 1, commits: 0 });
  expect(statSync(file).mode & 0o7777).toBe(0o600);
  expect(existsSync(`${file}.partial`)).toBe(false);
  // The instance whose database it is of is not changed by a restore.
  expect(await first.fumehood(['restore', file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('is running') as string,
  });
  child.kill('SIGTERM');
  await once(child, 'exit');
  const refused = await first.fumehood(['restore', file]);
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('rows in the table jobs') as string,
  });

  writeFileSync(join(second.state, 'settings.json'), 'nothing');
  expect(await second.fumehood(['restore', join(second.state, 'settings.json')])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('not a whole backup') as string,
  });
  expect(existsSync(join(second.state, 'postgres'))).toBe(false);
  writeFileSync(join(second.state, 'settings.json'), '{}');
  const restoring = start(second, ['restore', file]);
  while (!existsSync(join(second.state, 'run/restore/blobs'))) await delay(1);
  restoring.kill('SIGKILL'); // in the middle of its transaction
  await once(restoring, 'exit');
  const restored = await second.fumehood(['restore', file]);
  expect(restored.code, restored.stderr).toBe(0);
  const other = await startInstance(second);
  for (const [id, output] of outputs) {
    const record: JobRecord = jobRecordSchema.parse(
      await (await other.send('GET', `/api/jobs/${id}`)).json(),
    );
    expect(record.state).toBe('completed');
    const log = await other.send('GET', `/api/jobs/${id}/logs`);
    expect(Buffer.from(await log.arrayBuffer()).equals(output)).toBe(true);
  }
  expect((await other.send('HEAD', `/api/blobs/${digest}`)).status).toBe(200);
  const lab = executorClient({ url: other.url, credential: created.stdout.trim(), name: 'lab-1' });
  expect((await lab.heartbeat({ queueNames: ['runs'] })).status).toBe(200);

  // It can be backed up while it does not run, too.
  other.child.kill('SIGTERM');
  await once(other.child, 'exit');
  const again = await second.fumehood(['backup', `${file}-2`]);
  expect(again.stdout, again.stderr).toMatch(/: 12 jobs, 1 images, 0 commits \(/);
});
