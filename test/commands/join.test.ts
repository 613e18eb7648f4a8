import { once } from 'node:events';
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { basic, FakeRegistry, password, user } from '../../packages/oci/src/testing/registry.ts';
import { agentIdentity } from '../../packages/fumehood/src/up/identities.ts';
import { type Foreground, startCommand } from '../foreground.ts';
import { ConnectProxy } from '../integration/proxy.ts';
import { Stack } from '../stack.ts';
import { startTlsInstance } from '../tls-instance.ts';

/**
 * Two machines, each with a state directory of its own: they share nothing but the loopback of this one. The executor's reaches others through a
 * proxy alone, and cannot resolve their names.
 */
let instance: Stack;
let executor: Stack;
let url: string;
let caFile: string;
let instanceLog: () => string;
let registry: FakeRegistry;
/** The name of the registry, which the proxy alone resolves. */
let registryPlace: string;
let proxy: ConnectProxy;
const foreground: Foreground[] = [];
/** Has a password that the instance hands out. */
let shared: FakeRegistry;
let sharedPlace: string;

/** Starts a command that the end of the tests stops. */
function start(stack: Stack, args: readonly string[], env: Record<string, string> = {}): Foreground {
  const started = startCommand(stack, args, { env });
  foreground.push(started);
  return started;
}

/** Two registries with a password. The executor's machine alone knows that of the first, and none of the second. */
async function startRegistries(): Promise<void> {
  await busyboxImage(executor.state, 'plain');
  const image = layoutFiles([readFileSync(join(executor.state, 'plain.layer'))]);
  [registry, shared] = [await FakeRegistry.start(), await FakeRegistry.start()];
  for (const one of [registry, shared]) {
    one.basic = basic;
    one.put('tools/busybox', '1', image);
  }
  registryPlace = `registry.test:${registry.place.split(':')[1]}`;
  sharedPlace = `registry.test:${shared.place.split(':')[1]}`;
  const registryAuthFile = join(executor.state, 'config.json');
  writeFileSync(registryAuthFile, JSON.stringify({ auths: { [registryPlace]: { auth: basic } } }), {
    mode: 0o400,
  });
  if (process.getuid?.() === 0) chownSync(registryAuthFile, agentIdentity.uid, agentIdentity.gid);
  const registries = [registryPlace, sharedPlace].map((location) => ({ location, insecure: true }));
  writeFileSync(join(executor.state, 'settings.json'), JSON.stringify({ registries, registryAuthFile }));
}

beforeAll(async () => {
  [instance, executor] = [await Stack.make({ fresh: true }), await Stack.make()];
  proxy = await new ConnectProxy().start();
  await startRegistries();
  const served = await startTlsInstance(instance, 'fumehood.test');
  foreground.push(served);
  ({ url, caFile } = served);
  instanceLog = served.log;
});
afterAll(async () => {
  for (const command of foreground.toReversed()) await command.stop();
  await registry.stop();
  await shared.stop();
  await proxy[Symbol.asyncDispose]();
  await executor.stop();
  await instance.stop();
});

test('an executor joins an instance elsewhere through a proxy, with a token that is valid once, runs a job in an image of a private registry, and leaves', async () => {
  const added = await instance.fumehood(['executors', 'add', 'lab-1', '--label', 'far']);
  expect(added.stdout).toMatch(new RegExp(`^fumehood executor join ${url} --token [0-9a-f]{40}\n$`));
  const args = added.stdout.trim().split(' ').slice(1);
  const untrusted = await executor.fumehood([...args, '--foreground', '--proxy', proxy.url]);
  expect(untrusted.code).toBe(1);
  expect(untrusted.stderr).toMatch(/certificate/);

  const environment = { HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: caFile };
  const { child, log } = start(executor, [...args, '--foreground'], environment);
  const list = async () => (await instance.fumehood(['executors', 'list'])).stdout;
  await expect.poll(list, { timeout: 60_000, interval: 500, message: log() }).toMatch(/^lab-1 /m);
  const run = (from: string) =>
    instance.fumehood([
      ...['run', '--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', '--label', 'far'],
      ...[`${from}/tools/busybox:1`, '--', 'sh', '-c', 'echo from another machine'],
    ]);
  const ran = await run(registryPlace);
  expect(ran.stdout, `${ran.stderr}\n${log()}`).toBe('from another machine\n');
  expect(new Set(proxy.targets)).toEqual(new Set([new URL(url).host, registryPlace]));

  const add = (...more: string[]) =>
    instance.fumehood(['registries', 'add', sharedPlace, '--username', user, '--password-stdin', ...more], {
      input: `${password}\n`,
    });
  expect((await add('--queue', 'codeintel')).code).toBe(0);
  const otherQueue = await run(sharedPlace);
  expect(otherQueue).toMatchObject({ code: 125, stderr: expect.stringMatching(/registry.*credential/i) });
  expect((await add()).stderr).toContain(`jobs get images of ${sharedPlace} as ${user}`);
  const handed = await run(sharedPlace);
  expect(handed.stdout, `${handed.stderr}\n${log()}`).toBe('from another machine\n');
  const listed = await instance.fumehood(['registries', 'list']);
  expect(listed.stdout).toMatch(new RegExp(`^${sharedPlace} +${user} +all +2`, 'm'));
  expect((await instance.fumehood(['registries', 'remove', sharedPlace])).code).toBe(0);
  expect((await run(sharedPlace)).code).toBe(125);
  for (const text of [log(), instance.logs(), listed.stdout, handed.stderr])
    expect(text).not.toContain(password);
  // `run` did not start an executor beside the instance, and the credential is on no command line.
  expect((await instance.fumehood(['status'])).stdout).toMatch(/^executor +not running$/m);
  const credential = readFileSync(join(executor.state, 'run/executor-credential'), 'utf8').trim();
  expect(log()).not.toContain(credential);
  // A log is for people, unless it was asked for as JSON.
  expect(log()).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z info /m);
  const lines = instanceLog()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  expect(lines.map((line) => JSON.parse(line).msg)).toContain('listening');

  expect(await unmet()).toEqual([]);

  const again = await executor.fumehood([...args, '--foreground']);
  expect(again).toMatchObject({ code: 2, stdout: '' });
  expect(again.stderr).toContain('has joined');
  const left = await executor.fumehood(['executor', 'leave']);
  expect(left.code, left.stderr).toBe(0);
  if (child.exitCode === null) await once(child, 'exit');
  expect(child.exitCode).toBe(0);
  const credentials = await instance.fumehood(['executors', 'credentials', 'list']);
  expect(credentials.stdout).not.toContain('lab-1');
  expect(await unmet()).toEqual(['instance']);
});

/** Returns what `fumehood executor validate` misses, besides cgroups, which the machine of the test may not have. */
async function unmet(): Promise<string[]> {
  const { code, stdout, stderr } = await executor.fumehood(['executor', 'validate', '--json']);
  expect(stdout, stderr).not.toBe('');
  const { valid, requirements } = JSON.parse(stdout) as {
    valid: boolean;
    requirements: { requirement: string; met: boolean; is: string; shouldBe: string; remedy?: string }[];
  };
  const missing = requirements.filter(({ met }) => !met);
  expect([code, valid]).toEqual(missing.length === 0 ? [0, true] : [1, false]);
  for (const { is, shouldBe, remedy } of missing)
    for (const text of [is, shouldBe, remedy]) expect(text).toBeTruthy();
  return missing.map(({ requirement }) => requirement).filter((name) => name !== 'limits and users');
}

test.each([
  [['instance', 'start', '--listen', '0.0.0.0:1'], 'other machines reach'],
  [['executor', 'start'], 'has not joined'],
  [['executor', 'join', 'http://example.com', '--token', 'x'], 'not encrypted'],
  [['executor', 'join', 'https://example.com'], 'join token is missing'],
  [['executor', 'leave'], 'has not joined'],
])('`fumehood %s` says what is wrong, and starts nothing', async (args, why) => {
  const refused = await executor.fumehood(args);
  expect(refused.code).toBeGreaterThan(0);
  expect(refused.stderr).toContain(why);
});
