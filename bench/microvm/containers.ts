import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from './report.ts';
import { timeOf } from './time.ts';

const rounds = 20;
const tag = 'fumehood-bench';
const echo = ['/bin/echo', 'hello'];

/** Returns the path of a program of this host, or null. */
function find(name: string): string | null {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path)) ?? null;
}

/** Measures `docker run` of the image with this layer, on an engine of its own, which ends with it. */
export async function measureDocker(layer: string, root: string, report: Report): Promise<void> {
  const [dockerd, docker] = [find('dockerd'), find('docker')];
  if (!dockerd || !docker) return report.addAbsent('`docker run` of the same image: Docker is not here');
  const socket = `unix://${root}/docker.sock`;
  const engine = startEngine(dockerd, socket, root);
  try {
    await untilServes(docker, socket, engine);
    execFileSync(docker, ['-H', socket, 'import', layer, tag], { stdio: 'ignore' });
    const args = ['-H', socket, 'run', '--rm', '--network', 'none', tag, ...echo];
    await timeOf(docker, args); // fills the caches
    const times = [];
    for (let round = 0; round < rounds; round++) times.push(await timeOf(docker, args));
    report.add(
      '`docker run --network none` of the same image → first byte',
      times.map(({ firstByte }) => firstByte),
    );
    report.addDocker(
      '`docker run --network none` of the same image → its end',
      times.map(({ end }) => end),
    );
    const start = performance.now();
    await Promise.all(Array.from({ length: 8 }, () => timeOf(docker, args)));
    report.add('8 `docker run` at once → the last one ended', [performance.now() - start]);
  } catch (error) {
    report.addAbsent(
      `\`docker run\` of the same image: ${(error as Error).message}; see ${root}/dockerd.log`,
    );
  } finally {
    engine.kill('SIGTERM');
    if (engine.exitCode === null) await once(engine, 'exit');
  }
}

/** Starts an engine that touches nothing of the host's network, with everything it writes below `root`. */
function startEngine(dockerd: string, socket: string, root: string): ChildProcess {
  const log = openSync(join(root, 'dockerd.log'), 'w');
  const directories = ['--data-root', join(root, 'docker'), '--exec-root', join(root, 'docker-run')];
  const args = [
    '-H',
    socket,
    ...directories,
    '--pidfile',
    join(root, 'docker.pid'),
    '--iptables=false',
    '--bridge=none',
  ];
  return spawn(dockerd, args, { stdio: ['ignore', log, log] });
}

async function untilServes(docker: string, socket: string, engine: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (engine.exitCode !== null) throw new Error('its engine ended');
    const { code } = await timeOf(docker, ['-H', socket, 'version']);
    if (code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('its engine does not answer');
}

/** Measures the same image in gVisor, without an engine. */
export async function measureGvisor(layer: string, root: string, report: Report): Promise<void> {
  const runsc = find('runsc');
  if (!runsc) return report.addAbsent("gVisor's `runsc run` of the same image: runsc is not here");
  const bundle = join(root, 'bundle');
  mkdirSync(join(bundle, 'rootfs'), { recursive: true });
  execFileSync('tar', ['-xf', layer, '-C', join(bundle, 'rootfs')]);
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(ociConfig));
  const [version = ''] = execFileSync(runsc, ['--version'], { encoding: 'utf8' }).split('\n');
  const args = (id: string) => [
    '--root',
    join(root, 'runsc'),
    '--network',
    'none',
    '--ignore-cgroups',
    'run',
    '--bundle',
    bundle,
    id,
  ];
  const times = [];
  for (let round = -1; round < rounds; round++) times.push(await timeOf(runsc, args(`bench-${round + 1}`)));
  const well = times.slice(1).filter(({ code }) => code === 0);
  if (well.length < rounds)
    return report.addAbsent(
      `gVisor's \`runsc run\` of the same image: ${rounds - well.length} of ${rounds} runs failed`,
    );
  report.add(
    `gVisor's \`runsc run\` of the same image (${version}) → its end`,
    well.map(({ end }) => end),
  );
}

const ociConfig = {
  ociVersion: '1.0.0',
  process: { terminal: false, user: { uid: 0, gid: 0 }, args: echo, env: ['PATH=/bin'], cwd: '/' },
  root: { path: 'rootfs', readonly: true },
  mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
  linux: { namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
};
