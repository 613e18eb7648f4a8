import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '@fumehood/base';
import { openClient } from '@fumehood/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { connect } from '../../packages/executor/src/uplink/connect.ts';
import { readCredential } from '../../packages/executor/src/uplink/credential.ts';
import { openHttp } from '../../packages/executor/src/uplink/http.ts';
import type { InstanceFile } from '../../packages/instance/src/helper/config.ts';
import { signal, treeOf } from '../crash/processes.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';

/** Takes a port as soon as it is free, and answers every request as if all were well. Its output is what it was sent. */
const thiefScript = `
import { createServer } from 'node:http';
const server = createServer((request, response) => {
  console.log('secret ' + request.headers.authorization);
  response.setHeader('content-type', 'application/json').end('{}');
});
const listen = () => server.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
server.on('error', () => setTimeout(listen, 1)).on('listening', () => console.log('taken'));
listen();
`;
const nobody = 65_534;

let stack: Stack;
let directory: string;
let thief: ChildProcess;
let thiefHeard: string[];
let port: number;

const instanceFile = () =>
  JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as InstanceFile;
const secret = (name: string) => readFileSync(join(stack.state, 'run', name), 'utf8').trim();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'thief-'));
  await chmod(directory, 0o755);
  await copyFile(process.execPath, join(directory, 'node'));
  await writeFile(join(directory, 'thief.mjs'), thiefScript, { mode: 0o644 });
  stack = await Stack.make();
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
  port = Number(new URL(instanceFile().url).port);
  thief = spawn(join(directory, 'node'), [join(directory, 'thief.mjs'), String(port)], {
    ...(process.getuid?.() === 0 && { uid: nobody, gid: nobody }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  thiefHeard = [];
  if (thief.stdout) createInterface(thief.stdout).on('line', (line) => thiefHeard.push(line));
});
afterAll(async () => {
  thief.kill('SIGKILL');
  if (thief.exitCode === null && thief.signalCode === null) await once(thief, 'exit');
  await stack.stop();
  await rm(directory, { recursive: true });
});

describe('a user of the host who listens on the port of an instance that was killed', () => {
  test('gets no credential, and the instance comes back', async () => {
    const instance = treeOf(stack.pid('instance')).find(({ command }) => command.includes('instance.mjs'));
    signal(instance?.pid ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(thiefHeard).toEqual(['taken']), { timeout: 30_000 });
    // While the instance is away, and after it has come back.
    await stack.fumehood(['jobs', 'list']);
    await vi.waitFor(async () => expect((await stack.fumehood(['jobs', 'list'])).code).toBe(0), {
      timeout: 30_000,
    });
    const back = Date.now();
    await vi.waitFor(
      async () => {
        const { executors } = await stack.client().status();
        expect(executors.map(({ lastSeenAt }) => Date.parse(lastSeenAt) > back)).toEqual([true]);
      },
      { timeout: 30_000, interval: 200 },
    );
    expect(instanceFile().url).not.toBe(`http://127.0.0.1:${port}`);
    expect(thiefHeard).toEqual(['taken']);
  });

  test.runIf(long)(
    'gets both credentials from clients that use the port, so the test above can fail',
    async () => {
      const url = `http://127.0.0.1:${port}`;
      await openClient({ url, token: secret('token') })
        .jobs()
        .catch(() => {});
      const credential = await readCredential(join(stack.state, 'run/executor-credential'));
      const executor = {
        name: 'e',
        version: '1',
        credential,
        tiers: [],
        arch: 'x64' as const,
        labels: [],
        network: false,
        machine: 'here',
      };
      await connect(
        { http: openHttp(url), executor, queues: ['runs'] },
        systemClock,
        AbortSignal.timeout(10_000),
        () => {},
      );
      expect(thiefHeard).toContain(`secret token ${secret('token')}`);
      expect(thiefHeard).toContain(`secret token-executor ${secret('executor-credential')}`);
    },
  );
});
