import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeUpstream } from '../../packages/executor/src/testing/fake-upstream.ts';
import { startCommand } from '../foreground.ts';
import { Stack } from '../stack.ts';

let stack: Stack;
let upstream: FakeUpstream;
const password = 'a-secret-that-all-executors-share';

beforeAll(async () => {
  stack = await Stack.make();
  upstream = await FakeUpstream.start();
  upstream.answer('POST /.executors/queue/batches/heartbeat', {
    status: 200,
    body: '{"knownIds":[],"cancelIds":[]}',
  });
  upstream.answer('POST /.executors/queue/batches/dequeue', { status: 204 });
});
afterAll(async () => {
  await upstream.stop();
  await stack.stop();
});

const environment = () => ({
  EXECUTOR_FRONTEND_URL: upstream.url,
  EXECUTOR_FRONTEND_PASSWORD: password,
  EXECUTOR_QUEUE_NAME: 'batches',
  EXECUTOR_JOB_NUM_CPUS: '1',
  EXECUTOR_JOB_MEMORY: '512M',
  EXECUTOR_FIRECRACKER_DISK_SPACE: '100M',
  EXECUTOR_KEEP_WORKSPACES: 'true',
});
const authorized = 'GET /.executors/test/auth';

test('`fumehood executor validate` says whether an upstream instance accepts the secret of the environment', async () => {
  upstream.answer(authorized, { status: 401 });
  const { code, stdout, stderr } = await stack.fumehood(['executor', 'validate', '--accept', 'vm-emulated'], {
    env: environment(),
  });
  expect({ code, stdout }).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('✗ credential: refused: 401\n'),
  });
  expect(stdout).toContain('✓ protocol: version');
  expect(stdout).toContain('✓ jobs: 1 processors, 896 MiB of memory and 100 MiB of disk, in all'); // with that of its VMM
  expect(stdout).toContain("the instance is of upstream's kind");
  expect(stderr).toContain('EXECUTOR_KEEP_WORKSPACES has no effect: ');
});

test('`fumehood executor start` leases from an upstream instance as the environment says', async () => {
  upstream.answer(authorized, { status: 200, body: 'ok' });
  const started = startCommand(stack, ['executor', 'start', '--accept', 'vm-emulated'], {
    env: environment(),
  });
  try {
    await expect
      .poll(() => upstream.bodies('dequeue'), { timeout: 60_000, message: started.log() })
      .not.toEqual([]);
    expect(upstream.bodies('dequeue')[0]).toMatchObject({ numCPUs: 1, memory: '512M', diskSpace: '100M' });
    const asked = upstream.received.filter(({ line }) => line.endsWith('/batches/dequeue'));
    expect(asked[0]?.headers.authorization).toBe(`token-executor ${password}`);
    const file = join(stack.state, 'run/executor-credential');
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual([`${password}\n`, 0o600]);
    expect(readFileSync(join(stack.state, 'run/executor-helper.json'), 'utf8')).not.toContain(password);
  } finally {
    expect(await started.stop(), started.log()).toBe(0);
  }
  expect(started.log()).toContain('EXECUTOR_KEEP_WORKSPACES has no effect: ');
});

test.each([
  ['EXECUTOR_FRONTEND_PASSWORD', '', 'EXECUTOR_FRONTEND_PASSWORD is not set'],
  ['EXECUTOR_FRONTEND_URL', 'http://sourcegraph.example.com', 'is not encrypted'],
  ['EXECUTOR_JOB_MEMORY', '900T', 'MiB of memory for each of 1 jobs'],
])('%s=%s starts nothing: %s', async (name, value, why) => {
  const env = { ...environment(), [name]: value };
  const refused = await stack.fumehood(['executor', 'start', '--accept', 'vm-emulated'], { env });
  expect(refused.code).toBeGreaterThan(0);
  expect(refused.stderr).toContain(why);
});
