// How quick a guest's network is: `npm run bench:network`. Every figure is of this one run, as root, in network namespaces of its own. A machine
// beside the servers has three guests: namespaces that reach it through our network, through the kernel's NAT, and through pasta, where that is
// installed. Then a real guest, emulated, has our network.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../../test/stack.ts';
import { inNamespace, machineBeside } from '../../test/network/internet.ts';

/** Addresses of the public internet: a guest may dial them without a rule of its own. */
const server = '9.1.0.100';
const nameServer = '9.1.0.53';

const directory = mkdtempSync(join(tmpdir(), 'fumehood-network-bench-'));
const load = join(directory, 'load');
execFileSync('gcc', ['-static', '-O2', '-pthread', '-o', load, join(import.meta.dirname, 'load.c')]);
// What comes from a Debian mirror, which the namespaces do not reach, is made first.
const files = [{ path: 'bin/load', content: readFileSync(load), mode: 0o755 }];
const { file: image } = await busyboxImage(directory, 'image', {}, files);
const stack = await Stack.make();
const addresses = `ip address add ${server}/32 dev lo; ip address add ${nameServer}/32 dev lo`;
const servers = await inNamespace(`${addresses}; exec "$@"`, [load, 'serve', server, nameServer]);
const machine = await machineBeside(servers);
try {
  const measure = [process.execPath, join(import.meta.dirname, 'measure.ts'), directory, server, nameServer];
  const guest = [stack.state, image];
  const child = spawn('nsenter', ['--target', String(machine.pid), '--net', ...measure, ...guest], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
} finally {
  await stack.stop();
  for (const one of [machine, servers]) one.kill('SIGKILL');
  rmSync(directory, { recursive: true });
}
