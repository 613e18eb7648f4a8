import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { getCACertificates } from 'node:tls';
import { egressPolicyText } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestCommands } from '../../packages/egress/src/testing/policy-table.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../stack.ts';

/** The address of the mirror: that of another machine in the executor's own network. */
const address = '10.99.0.1';
/** The address of the executor's host in that network. */
const hostAddress = '10.99.0.2';
/** The addresses of the executor's host: that in its network, of a bridge, and one on the public internet. */
const own = [hostAddress, '172.17.0.1', '1.0.0.1'];
let stack: Stack;
let image: string;
/** Has the name server and the mirror, in a network namespace. */
let world: ChildProcess;
/** A service of the executor's host, in the network namespace in which the executor runs. */
let host: ChildProcess;
/** The names that were asked of the name server. */
let asked: string[];

beforeAll(async () => {
  stack = await Stack.make();
  const files = ['../network/client.c', '../../packages/microvm/src/testing/frames.c'].map((source) => {
    const program = join(stack.state, basename(source, '.c'));
    const flags = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program];
    execFileSync('gcc', [...flags, join(import.meta.dirname, source)]);
    return { path: `bin/${basename(program)}`, content: readFileSync(program), mode: 0o755 };
  });
  image = `docker-archive:${(await busyboxImage(stack.state, 'client', {}, files)).file}`;
  const openssl = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=x';
  const names = ['-addext', 'subjectAltName=DNS:registry.test', '-keyout', 'key.pem', '-out', 'cert.pem'];
  execFileSync('openssl', [...openssl.split(' '), ...names], { cwd: stack.state, stdio: 'ignore' });
  asked = [];
  const inNamespace = async (setUp: string, script: string, args: readonly string[]) => {
    const file = join(import.meta.dirname, '../network', script);
    const argv = ['sh', '-euc', `${setUp}; exec "$@"`, 'sh', process.execPath, file, ...args];
    const child = spawn('unshare', ['--net', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface(child.stdout);
    lines.on('line', (line) => asked.push(line));
    await once(lines, 'line');
    return child;
  };
  const add = (addresses: readonly string[]) =>
    ['ip link set lo up', ...addresses.map((one) => `ip address add ${one}/32 dev lo`)].join('; ');
  world = await inNamespace(add([address]), 'world.ts', [address, hostAddress, stack.state]);
  const link = [
    `ip link add near type veth peer name far netns ${world.pid}`,
    `ip address add ${hostAddress}/24 dev near; ip link set near up`,
    `nsenter --target ${world.pid} --net ip link set far up`,
    `nsenter --target ${world.pid} --net ip route add 10.99.0.0/24 dev far src ${address}`,
    `ip route add default via ${address} dev near onlink`,
  ].join('; ');
  host = await inNamespace(`${add(own.slice(1))}; ${link}`, 'host-service.ts', []);
  const settings = {
    nameServers: [address],
    privateHosts: [
      { name: 'mirror.test', port: 8080, queues: ['runs'] },
      { name: 'own.test', port: 9090 },
      { name: 'loopback.test', port: 9090 },
      { name: 'registry.test', port: 443 },
    ],
    brokerCaFile: join(stack.state, 'cert.pem'),
  };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
  const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
  const up = ['--target', String(host.pid), '--net', process.execPath, command, 'up'];
  execFileSync('nsenter', up, { env: { ...process.env, FUMEHOOD_STATE: stack.state }, stdio: 'ignore' });
});
afterAll(async () => {
  await stack.stop();
  for (const child of [host, world]) {
    child.kill();
    await once(child, 'exit');
  }
});

/** Runs a command in a VM under a policy. Returns its lines, and what the product says on stderr. */
async function runScript(policy: string, script: string) {
  const { code, stdout, stderr } = await stack.fumehood([
    ...['run', '--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', '--network', policy],
    ...[image, '--', 'sh', '-c', script],
  ]);
  expect(code, `${stderr}${stack.logs()}`).toBe(0);
  return { lines: stdout.trim().split('\n'), stderr };
}

/** Runs commands of the client in a VM. */
const tryOut = (policy: string, commands: readonly string[]) =>
  runScript(policy, commands.map((command) => `client ${command}`).join('; '));

describe('the guest of a job', () => {
  it('reaches what its policy allows, and nothing else of the world', async () => {
    const commands = [
      ...['name mirror.test', `tcp ${address} 8080`, `tcp ${address} 53`, 'name private.test'],
      ...['name metadata.test', 'name gone.test', 'name secret.of.the.guest', 'tcp 169.254.169.254 80'],
      ...['tcp 10.1.2.3 80', 'tcp 1.1.1.1 80'],
    ].map((command) => `client ${command}`);
    const all = [...commands, ...guestCommands.map(({ command }) => command)];
    const running = runScript('allow:mirror.test:8080,*.test:80', all.join('; '));
    // The first job of this instance can be watched while it runs.
    const watch = async () => {
      const { ended, receipts } = await stack.client().network(1, null);
      return ended ? 'it has ended' : receipts[0]?.name;
    };
    await expect
      .poll(() => watch().catch(() => null), { timeout: 60_000, interval: 200 })
      .toBe('mirror.test');
    const { lines, stderr } = await running;
    const refused = (to: string) => `tcp ${to}: Connection reset by peer`;
    expect(lines).toEqual([
      ...[
        `name mirror.test: ${address}`,
        `tcp ${address}:8080: answer from the mirror`,
        refused(`${address}:53`),
      ],
      ...['private.test', 'metadata.test', 'gone.test', 'secret.of.the.guest'].map(
        (name) => `name ${name}: rcode 3`,
      ),
      ...['169.254.169.254:80', '10.1.2.3:80', '1.1.1.1:80'].map(refused),
      ...guestCommands.map(({ dropped }) => dropped),
    ]);
    expect(stderr).toContain(
      'fumehood: 169.254.169.254:80 was refused: the address is not on the public internet',
    );
    expect(stderr).toContain('the policy does not allow the name secret.of.the.guest');
    expect(asked).not.toContain('secret.of.the.guest');
    const { stdout } = await stack.fumehood(['jobs', 'network', '1', '--json']);
    const { receipts, ended, policy } = JSON.parse(stdout);
    expect({ ended, policy: egressPolicyText(policy) }).toEqual({
      ended: true,
      policy: 'allow:mirror.test:8080,*.test:80',
    });
    expect(receipts).toContainEqual(
      expect.objectContaining({
        ...{
          step: 'step.docker.0',
          address,
          port: 8080,
          name: 'mirror.test',
          sentBytes: 5,
          receivedBytes: 15,
        },
        rule: expect.stringContaining('allow mirror.test:8080'),
      }),
    );
    const { stdout: refusals } = await stack.fumehood(['jobs', 'network', '1', '--refused']);
    expect(refusals).toMatch(
      / connection +169\.254\.169\.254:80 .* refused +the address is not on the public internet$/m,
    );
    expect(refusals).not.toContain(':8080');
  });

  it('has under `public` no more of its own network than what the operator opened, and without a network nothing', async () => {
    const tried = ['name mirror.test', `tcp ${address} 8080`, `tcp ${address} 53`, 'name private.test'];
    expect((await tryOut('public', tried)).lines).toEqual([
      ...[`name mirror.test: ${address}`, `tcp ${address}:8080: answer from the mirror`],
      ...[`tcp ${address}:53: Connection reset by peer`, 'name private.test: rcode 3'],
    ]);
    const learned = await tryOut('learn', tried);
    expect(learned.lines[2]).toBe(`tcp ${address}:53: Connection reset by peer`);
    const [, id = ''] = /jobs policy (\d+)/.exec(learned.stderr) ?? [];
    expect((await stack.fumehood(['jobs', 'policy', id])).stdout).toBe('allow:mirror.test:8080\n');
    const { lines } = await tryOut('none', ['name mirror.test', `tcp ${address} 8080`]);
    expect(lines).toEqual([
      'name mirror.test: Network is unreachable',
      `tcp ${address}:8080: Network is unreachable`,
    ]);
  });
});

describe('a hostile guest under `public`', () => {
  it('reaches no service of its host and no metadata, whatever it calls them and sends, and its floods end', async () => {
    const metadata = ['169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', 'metadata.test'];
    const names = [...metadata, 'metadata.google.internal'];
    const reached = () => asked.filter((line) => line === 'the host was reached').length;
    const flood = 10_000;
    const tried = [
      ...own.map((one) => `client tcp ${one} 9090`),
      ...['client name own.test', 'client name loopback.test'],
      ...names.map((name) => `client name ${name}`),
      ...['client tcp 169.254.169.254 80', 'client tcp 172.31.0.6 80', 'client name rebind.test'],
      ...['client name rebind.test', `client flood ${own[2]} 9090 ${flood}`, 'frames packet eth0'],
      ...['sleep 2', 'client name mirror.test', `client tcp ${address} 8080`],
    ];
    const { lines } = await runScript('public', tried.join('; '));
    const refused = (to: string) => `tcp ${to}: Connection reset by peer`;
    expect(lines.filter((line) => !line.includes('\t'))).toEqual([
      ...own.map((one) => refused(`${one}:9090`)),
      ...['name own.test: rcode 3', 'name loopback.test: rcode 3'],
      ...names.map((name) => `name ${name}: rcode 3`),
      ...[refused('169.254.169.254:80'), refused('172.31.0.6:80')],
      ...['name rebind.test: 1.1.1.1', 'name rebind.test: rcode 3'],
      ...[`flood ${own[2]}:9090: ended ${flood}, silent 0`, `name mirror.test: ${address}`],
      `tcp ${address}:8080: answer from the mirror`,
    ]);
    expect(reached()).toBe(0);
    // What the table of policies says is dropped, among others.
    const frames = lines.filter((line) => line.includes('\t')).map((line) => line.split('\t'));
    expect(frames).toHaveLength(21);
    const answered = frames.filter(([, , answers = '']) => /[1-9]/.test(answers)).map(([kind]) => kind);
    expect(answered.filter((kind) => !kind?.endsWith('flood'))).toEqual([
      ...['honest connection', 'honest question'],
    ]);
    // The service is there, for who may reach it.
    const reach = ['--target', String(host.pid), '--net', 'bash', '-c', `: < /dev/tcp/${own[2]}/9090`];
    execFileSync('nsenter', reach);
    await expect.poll(reached).toBe(1);
    const { jobs } = await stack.client().jobs({ limit: 1 });
    const id = String(jobs[0]?.id);
    const { stdout } = await stack.fumehood(['jobs', 'network', id, '--json']);
    const { receipts } = JSON.parse(stdout) as { receipts: { reason: string; rule: string }[] };
    expect(receipts.length).toBeLessThan(2_000);
    expect(receipts.map(({ reason }) => reason)).toContain('connection_rate');
    expect(receipts.map(({ rule }) => rule).join()).toMatch(/\d+ more are not listed/);
  });
});

describe('the broker', () => {
  const password = 'of-the-registry-of-this-test';
  const key = 'of-the-service-of-this-test';
  const secrets = [password, key, Buffer.from(`worker:${password}`).toString('base64')];

  it('gives a guest what a credential opens, under the policy `none`, and the credential is nowhere in the guest', async () => {
    const add = async (input: string, ...args: string[]) => {
      const added = await stack.fumehood(['broker', 'add', ...args, '--secret-stdin'], { input });
      expect(added.code, added.stderr).toBe(0);
    };
    await add(password, 'npm', 'https://registry.test/npm', '--kind', 'npm', '--username', 'worker');
    await add(key, 'service', 'https://registry.test/api/', '--kind', 'http', '--header', 'x-key');
    const listed = await stack.fumehood(['broker', 'list', '--json']);
    // The process that serves networks sees no file of the machine, and trusts its authorities all the same.
    const { certificates } = JSON.parse(readFileSync(join(stack.state, 'executor/egress.json'), 'utf8'));
    expect(certificates).toEqual(expect.arrayContaining(getCACertificates('system')));
    const client = stack.client();
    const { jobs } = await client.jobs({ limit: 1 });
    const get = (host: string, path: string) =>
      `busybox wget -qO- --header 'Host: ${host}.broker.internal' http://172.31.0.1${path}; echo`;
    const script = [
      ...['set', 'client name npm.broker.internal', 'client name registry.test'],
      ...[get('npm', '/npm/left-pad'), get('service', '/api/v1'), get('npm', '/other'), get('registry', '/')],
      ...[`client tcp ${address} 443`, 'client tcp 172.31.0.1 81'],
    ].join('; ');
    const { id } = await client.createJob({
      ...{ queue: 'runs', image: jobs[0]?.image ?? '', argv: ['sh', '-c', script], accept: ['vm-emulated'] },
      ...{ memoryMiB: 256, scratchMiB: 256, broker: ['npm', 'service'], inspect: true },
    });
    const { stdout, stderr } = await stack.fumehood(['jobs', 'logs', '--follow', String(id)]);
    const record = await client.job(id);
    expect(record.state, `${stdout}${stderr}${stack.logs()}`).toBe('completed');
    expect(stdout).toContain("npm_config_registry='http://npm.broker.internal/npm/'");
    expect(stdout).toContain("FUMEHOOD_BROKER_SERVICE='http://service.broker.internal/api/'");
    expect(stdout).toContain('name npm.broker.internal: 172.31.0.1\nname registry.test: rcode 3');
    expect(stdout).toMatch(/^\/npm\/left-pad for .*"authorization":"Basic \*+"/m);
    expect(stdout).toMatch(/^\/api\/v1 for .*"x-key":"\*+"/m);
    expect(stdout).toContain(`tcp ${address}:443: Connection reset by peer`);
    expect(stdout).toContain('tcp 172.31.0.1:81: Connection reset by peer');
    expect(record.inspection).toMatchObject({ credentials: 5, found: 0, controlFound: true });
    const network = await stack.fumehood(['jobs', 'network', String(id)]);
    expect(network.stdout).toMatch(
      /broker +registry.test:443 .* allowed +broker npm: GET \/npm\/left-pad: 200$/m,
    );
    expect(network.stdout).toMatch(/refused +broker npm: the path is not below \/npm\/$/m);
    const all = [listed, network, { stdout, stderr }].map((one) => `${one.stdout}${one.stderr}`).join();
    for (const secret of secrets) expect(`${all}${stack.logs()}`).not.toContain(secret);
  });
});
