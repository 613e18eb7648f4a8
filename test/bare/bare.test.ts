import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { version } from '../../packaging/tree.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';
import { startTlsInstance } from '../tls-instance.ts';
import { makeBareRoot, runInBareRoot } from './root.ts';

describe('in a bare Debian 12 with its own Node 18 and npm 9', () => {
  let directory: string;
  let root: string;
  /** Makes the packages, while Debian is installed. */
  let packaging: ChildProcess;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'bare-'));
    const make = ['run', '--silent', 'package', '--', '--out', join(directory, 'packages')];
    packaging = spawn('npm', make, { stdio: 'ignore' });
    root = join(directory, 'root');
    makeBareRoot(root);
  }, 300_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }), 60_000);

  const run = (command: string) =>
    runInBareRoot(root, ['sh', '-c', command], { log: join(directory, 'log') });

  it('has Node 18, npm 9 and none of the programs that Fumehood needs', async () => {
    const { output } = await run('node --version; npm --version; ls /usr/bin/git /usr/bin/bwrap');
    expect(output).toMatch(/^v18\.\d+\.\d+\n9\.\d+\.\d+\n/);
    expect(output.match(/No such file/g)).toHaveLength(2);
  });

  it('the Debian package brings all that an executor of an instance elsewhere and a job in its VM need, without a compiler', {
    timeout: 300_000,
  }, async () => {
    const out = join(directory, 'packages');
    const upper = join(directory, 'upper');
    mkdirSync(upper);
    if (packaging.exitCode === null) await once(packaging, 'exit');
    expect(packaging.exitCode).toBe(0);
    execFileSync('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: out, stdio: 'ignore' });
    const deb = `fumehood_${version}_amd64.deb`;
    copyFileSync(join(out, deb), join(root, 'root', deb));
    const image = await busyboxImage(directory, 'busybox');
    copyFileSync(image.file, join(root, 'root/busybox.tar'));
    const elsewhere = await Stack.make({ fresh: true });
    const instance = await startTlsInstance(elsewhere, 'localhost');
    try {
      copyFileSync(instance.caFile, join(root, 'etc/lab-ca.pem')); // the agent, which is not root, reads it
      const joining = (await elsewhere.fumehood(['executors', 'add', 'bare'])).stdout.trim();
      const scopes = ['--scope', 'jobs:read', '--scope', 'jobs:write'];
      const token = (await elsewhere.fumehood(['tokens', 'create', 'bare', ...scopes])).stdout.trim();
      const script = `
        apt-get install -y --no-install-recommends /root/${deb}
        cd / && fumehood --version
        ${joining} --ca-file /etc/lab-ca.pem --foreground & executor=$!
        until grep -qs '"connected":true' /var/lib/fumehood/run/executor.json; do kill -0 $executor; sleep 0.2; done
        export FUMEHOOD_URL=${instance.url} FUMEHOOD_TOKEN=${token} NODE_EXTRA_CA_CERTS=/etc/lab-ca.pem
        fumehood run --accept vm-emulated docker-archive:/root/busybox.tar -- sh -c 'echo ran as $(id -u)'
        fumehood executor leave
        wait
        command -v gcc || echo without a compiler`;
      const { code, output } = await runInBareRoot(root, ['sh', '-euc', script], {
        log: join(directory, 'log'),
        upper,
      });
      expect(code, output).toBe(0);
      expect(output).toContain(`\n${version}\n`);
      expect(output).toMatch(/^ran as 0$/m);
      expect(output).toMatch(/^without a compiler$/m);
      const { jobs } = await elsewhere.client().jobs();
      expect(jobs).toMatchObject([{ state: 'completed', executor: 'bare', attempt: 1 }]);
    } finally {
      await instance.stop();
      await elsewhere.stop();
    }
  });

  it('`npm run demo` installs what is missing, indexes this repository in a VM and leaves nothing behind', {
    timeout: 400_000,
  }, async () => {
    const { code, output } = await run('npm run demo && npx fumehood down');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^isolation +vm-/m);
    expect(output).toMatch(/^index +\d+ documents/m);
    expect(output).toMatch(
      /^left over +processes 0, mounts 0, namespaces 0, loop devices 0, cgroups 0, files 0$/m,
    );
  });

  it('`npm run check` runs the compiler, the linter and unit tests', { timeout: 300_000 }, async () => {
    const { code, output } = await run('npm run check -- test/repository packages/base');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^\d{2,} passed, 0 failed$/m);
  });

  it.runIf(long)('`npm run check` passes', { timeout: 300_000 }, async () => {
    const { code, output } = await run('npm run check');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^\d{3,} passed, 0 failed$/m);
  });

  it.runIf(long)('`npm test` passes', { timeout: 1_800_000 }, async () => {
    const { code, output } = await run('npm test');
    expect(code, output).toBe(0);
    expect(output).toMatch(/^\d{4,} passed, 0 failed/m);
  });
});
