import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { basic, FakeRegistry, password } from '../../packages/oci/src/testing/registry.ts';
import { makeAuthority } from '../integration/certificates.ts';
import { Machine, makeSystemdRoot } from './machine.ts';

/** A block of commands of docs/install.md, and where an admin types them. */
interface Block {
  readonly where: 'on each machine' | 'on the instance' | 'on the executor';
  readonly commands: string;
}

const page = readFileSync(join(import.meta.dirname, '../../docs/install.md'), 'utf8');
const blocks = [...page.matchAll(/^```sh (on [a-z ]+)\n(.*?)^```$/gms)].map(
  ([, where, commands]) => ({ where, commands }) as Block,
);

let directory: string;
let registry: FakeRegistry;
const machines: Machine[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'install-'));
  registry = await FakeRegistry.start();
  registry.basic = basic;
  await busyboxImage(directory, 'busybox');
  registry.put('tools/busybox', '1', layoutFiles([readFileSync(join(directory, 'busybox.layer'))]));
}, 60_000);

afterAll(async () => {
  for (const machine of machines) await machine.stop();
  await registry.stop();
  rmSync(directory, { recursive: true, force: true });
}, 120_000);

/** Makes a root in which the admin's files are: the packages, the certificate, and the names of the machines and of the registry. */
function makeRoot(): string {
  const root = join(directory, 'root');
  makeSystemdRoot(root);
  const home = join(root, 'root');
  execFileSync('npm', ['run', '--silent', 'package', '--', '--out', home], { stdio: 'ignore' });
  writeFileSync(join(home, 'password'), `${password}\n`);
  const authority = makeAuthority(directory, 'lab');
  const { certificateFile, keyFile } = authority.issue('server', ['fumehood.example.com']);
  copyFileSync(certificateFile, join(home, 'fullchain.pem'));
  copyFileSync(keyFile, join(home, 'privkey.pem'));
  copyFileSync(authority.caFile, join(root, 'usr/local/share/ca-certificates/lab.crt'));
  appendFileSync(join(root, 'etc/hosts'), '127.0.0.1 fumehood.example.com registry.example.com\n');
  return root;
}

it('the commands of docs/install.md make an instance and an executor of two bare Debian 12, and a job runs', {
  timeout: 600_000,
}, async () => {
  /** What an admin types in place of the names of the page. */
  let token = '';
  const typed = (commands: string) =>
    commands
      .replaceAll('"registry.example.com"', `"registry.example.com:${portOf(registry)}", "insecure": true`)
      .replaceAll('add registry.example.com', `add registry.example.com:${portOf(registry)}`)
      .replaceAll('registry.example.com/', `registry.example.com:${portOf(registry)}/`)
      .replaceAll('fumehood run', 'fumehood run --accept vm-emulated --network public')
      .replaceAll('TOKEN', token);
  const run = async (machine: Machine, { commands }: Block) => {
    const { code, output } = await machine.run(typed(commands));
    expect(code, `${typed(commands)}\n${output}`).toBe(0);
    return output;
  };
  const boot = async (lower: string, name: string) => {
    const place = join(directory, name);
    mkdirSync(place);
    const machine = await Machine.boot(lower, place, name);
    machines.push(machine);
    return { machine, changes: join(place, 'changes') };
  };
  const root = makeRoot();
  const both = await boot(root, 'both');
  await both.machine.run('update-ca-certificates');
  for (const block of blocks.filter(({ where }) => where === 'on each machine'))
    await run(both.machine, block);
  await both.machine.stop();
  machines.pop();
  const lower = `${both.changes}:${root}`;
  const instance = await boot(lower, 'instance');
  const executor = await boot(lower, 'executor');
  let output = '';
  for (const block of blocks) {
    if (block.where === 'on each machine') continue;
    output += await run(block.where === 'on the instance' ? instance.machine : executor.machine, block);
    token = / --token (\S+)$/m.exec(output)?.[1] ?? token;
  }
  expect(output).toMatch(/^it works$/m);
  expect(output).toMatch(/^lab-1 .* vm-emulated /m);
  const { output: left } = await executor.machine.run(
    'fumehood executor leave; systemctl is-active fumehood-executor || true',
  );
  expect(left).toMatch(/^inactive$/m);
});

const portOf = ({ place }: FakeRegistry) => place.split(':')[1] as string;
