import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argumentsMax, commandFault } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import type { ImageFile } from '../../packages/executor/src/testing/test-images.ts';

/**
 * Tests that a step sees the environment that `docker run` would give it. The oracle is crun with the configuration that Docker
 * writes: the same program prints what it sees, once under crun on this host and once under init in a VM.
 */
const probeScript = `
section() { echo "== $1"; }
section environment; env | busybox sort
section process; busybox grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/self/status; umask; pwd; hostname
section limits; busybox grep -E 'core file' /proc/self/limits
section devices; cd /dev; for node in * pts/* shm/*; do
  test -L $node && echo "$node -> $(busybox readlink $node)" && continue
  test "$node" = core && continue
  busybox stat -c '%n %F %a %t:%T %u:%g' $node
done
section mounts; busybox awk '{ sep = 0; for (i = 7; i <= NF; i++) if ($i == "-") sep = i; print $5, $6, $(sep + 1) }' /proc/self/mountinfo | busybox sort
section image; busybox stat -c '%n %F %a %u:%g' / /pipe
section streams; for stream in stdout stderr; do echo "to $stream" >/dev/$stream && echo "$stream opens"; done
busybox cat </dev/stdin && echo "stdin opens"
section volume; busybox stat -c '%n %F %a %u:%g' /new/volume
section hidden; busybox cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | head -c 10; ls /proc/acpi /sys/firmware
exit 3
`;

const capabilities = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP'],
  ...['SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
].map((name) => `CAP_${name}`);

interface Case {
  readonly name: string;
  readonly image: {
    readonly user: string;
    readonly workingDir: string;
    readonly env: string[];
    readonly volumes: string[];
  };
  readonly uid: number;
  readonly home: string;
}
const cases: Case[] = [
  {
    name: 'root',
    image: { user: '', workingDir: '/', env: ['A=b', 'EMPTY='], volumes: ['/new/volume'] },
    uid: 0,
    home: '/root',
  },
  {
    name: 'another user, in a directory that is not there yet',
    image: {
      ...{ user: 'worker', workingDir: '/made/for it' },
      ...{ env: ['PATH=/bin', 'LINES=a\tb', 'HOME='], volumes: ['/new/volume'] },
    },
    uid: 1000,
    home: '/home/worker',
  },
];

/** What a layer may have besides files: an entry for the root directory itself, a named pipe. */
const nodes: ImageFile[] = [
  { path: '.', type: 'directory', mode: 0o1775, uid: 7, content: Buffer.alloc(0) },
  { path: 'pipe', type: 'fifo', mode: 0o622, uid: 1000, content: Buffer.alloc(0) },
];

let agent: TestAgent;
let directory: string;
beforeAll(async () => {
  agent = await TestAgent.start();
  directory = mkdtempSync(join(tmpdir(), 'fumehood-crun-'));
  await agent.putImage('plain', {}, nodes);
  const layer = join(agent.root, 'images/plain.layer');
  mkdirSync(join(directory, 'rootfs'));
  execFileSync('tar', ['-xf', layer, '-C', join(directory, 'rootfs')]);
});
afterAll(async () => {
  await agent.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Returns the configuration that Docker's daemon writes for `docker run --network none` with this image. */
function dockerConfig({ image, uid, home }: Case, hostname: string, args: string[], files: string): object {
  const held = uid === 0 ? capabilities : [];
  const variables = [
    ...(image.env.some((line) => line.startsWith('PATH='))
      ? []
      : ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']),
    `HOSTNAME=${hostname}`,
    // Docker's own runtime, runc, looks up a home that is missing or empty; crun only one that is missing.
    ...image.env.filter((line) => line !== 'HOME='),
    `HOME=${home}`,
  ];
  const hidden = ['nosuid', 'noexec', 'nodev'];
  return {
    ociVersion: '1.0.2',
    hostname,
    root: { path: 'rootfs' },
    process: {
      args,
      cwd: image.workingDir,
      env: variables,
      user: { uid, gid: uid, additionalGids: [uid], umask: 0o022 },
      capabilities: { bounding: capabilities, permitted: held, effective: held },
      rlimits: [{ type: 'RLIMIT_CORE', hard: 0, soft: 0 }],
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: hidden },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...hidden, 'ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro', ...hidden] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: hidden },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: [...hidden, 'mode=1777', 'size=67108864'],
      },
      ...image.volumes.map((destination) => ({
        destination,
        type: 'bind',
        source: makeVolume(files),
        options: ['bind', 'rprivate'],
      })),
      ...['hosts', 'hostname', 'resolv.conf'].map((file) => ({
        destination: `/etc/${file}`,
        type: 'bind',
        source: join(files, file),
        options: ['bind', 'rprivate'],
      })),
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      maskedPaths: [
        ...['/proc/asound', '/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
        ...['/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** Makes a volume as Docker does. */
function makeVolume(directory: string): string {
  const volume = mkdtempSync(join(directory, 'volume-'));
  chmodSync(volume, 0o755);
  return volume;
}

/** Makes a bundle for a container, and returns crun's arguments for it: those of every command, the bundle and the name. */
function bundleOf(one: Case, hostname: string, args: string[]) {
  const bundle = mkdtempSync(join(directory, 'bundle-'));
  execFileSync('cp', ['-a', join(directory, 'rootfs'), join(bundle, 'rootfs')]);
  for (const file of ['hosts', 'hostname', 'resolv.conf']) writeFileSync(join(bundle, file), '');
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(dockerConfig(one, hostname, args, bundle)));
  const state = ['--root', join(bundle, 'state'), '--cgroup-manager=disabled'];
  return { state, bundle, id: `fumehood-test-${process.pid}-${bundle.slice(-6)}` };
}

function crun(one: Case, hostname: string, args: string[]) {
  const { state, bundle, id } = bundleOf(one, hostname, args);
  const command = ['crun', ...state, 'run', '--bundle', bundle, id];
  // crun supports one kind of cgroups at a time, but some hosts mount both.
  const alone = 'mount -t cgroup2 none /sys/fs/cgroup';
  // Node gives a child sockets, which cannot be opened by a name in /dev; Docker gives it pipes.
  const streams = 'true | "$0" "$@" 2>&3 3>&- 4>&- | cat >&4 3>&-';
  const piped = `set -o pipefail; { { ${streams}; } 3>&1 | cat >&2; } 4>&1`;
  return spawnSync('unshare', ['-m', 'bash', '-c', `${alone}; ${piped}`, ...command], {
    encoding: 'utf8',
    input: '',
  });
}

/** Runs a program under crun and stops it as `docker stop` does, half a second after it has printed something. Returns its output and exit code. */
function stopUnderCrun(one: Case, args: string[]): string {
  const { state, bundle, id } = bundleOf(one, 'job', args);
  const script = `
    mount -t cgroup2 none /sys/fs/cgroup
    crun ${state.join(' ')} run --bundle ${bundle} ${id} >${bundle}/output </dev/null &
    until test -s ${bundle}/output; do sleep 0.05; done
    for signal in TERM KILL; do crun ${state.join(' ')} kill ${id} $signal; sleep 0.5; done 2>/dev/null
    wait $!; echo "exit $?" >>${bundle}/output; cat ${bundle}/output`;
  return spawnSync('unshare', ['-m', 'bash', '-c', script], { encoding: 'utf8', timeout: 20_000 }).stdout;
}

/** Returns the lines of the program's output by section. */
function sections(text: string): Record<string, string[]> {
  return Object.fromEntries(
    text
      .split(/^== /m)
      .slice(1)
      .map((section) => {
        const [name, ...lines] = section.trimEnd().split('\n');
        return [name, lines];
      }),
  );
}

test.skipIf(process.getuid?.() !== 0).each(cases)(
  'a step of $name sees what it sees under crun',
  async (one) => {
    const image = await agent.putImage(`image-${one.uid}`, one.image, nodes);
    await agent.reset();
    const argv = ['sh', '-c', probeScript];
    await agent.run({ dockerSteps: [{ image, argv }] });
    const [entry] = agent.instance.entries.filter(({ key }) => key === 'step.docker.0');
    expect(entry?.exitCode, entry?.stderr.toString()).toBe(3);
    const ours = sections(agent.instance.output('step.docker.0'));
    const oracle = crun(one, `job-${agent.lastId}`, ['/bin/sh', '-c', probeScript]);
    expect(oracle.status, oracle.stderr).toBe(3);
    const theirs = sections(oracle.stdout);
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
    const { mounts: theirMounts = [], ...same } = theirs;
    for (const name of Object.keys(same)) expect.soft(ours[name], name).toEqual(same[name]);
    // A volume is a directory of the step's own disk: nothing outlives the job.
    const isVolume = (line: string) => one.image.volumes.includes(line.split(' ', 1)[0] ?? '');
    expect(weaker(ours.mounts ?? [], theirMounts).filter((line) => !isVolume(line))).toEqual([]);
  },
);

test.skipIf(process.getuid?.() !== 0)('a step takes as much as a program takes under crun', async () => {
  const [one] = cases as [Case];
  const env = [`BIG=${'a'.repeat(69_996)}`];
  const image = await agent.putImage('large', { ...one.image, env });
  const argv = ['sh', '-c', 'echo $# ${#1} ${#BIG}', 'sh', 'a'.repeat(131_071)];
  while (argv.length < argumentsMax) argv.push('x'.repeat(400));
  expect(commandFault(argv, env)).toBeNull();
  await agent.reset();
  expect(await agent.run({ dockerSteps: [{ image, argv }] })).toEqual({ operation: 'markComplete' });
  const oracle = crun({ ...one, image: { ...one.image, env } }, 'job', argv);
  expect(oracle.stdout, oracle.stderr).toBe('4092 131071 69996\n');
  expect(agent.instance.output('step.docker.0')).toBe(oracle.stdout);
});

test.skipIf(process.getuid?.() !== 0).each([
  ['has a handler for the signal', 'trap "echo asked; exit 7" TERM;', 'started\nasked\nexit 7\n'],
  ['has none, and ignores it as the first process of its namespace', '', 'started\nexit 137\n'],
])('a step that is stopped and %s ends as under crun', async (_what, trap, expected) => {
  const argv = ['sh', '-c', `${trap} echo started; while :; do sleep 0.1; done`];
  const [one] = cases as [Case];
  expect(stopUnderCrun(one, ['/bin/sh', ...argv.slice(1)])).toBe(expected);
  await agent.reset();
  const image = await agent.putImage('stopped', one.image);
  await agent.run({ dockerSteps: [{ image, argv }] }, { deadlineMs: 1_500, stopGraceMs: 500 });
  const { exitCode } = agent.instance.result as { exitCode: number };
  expect(`${agent.instance.output('step.docker.0')}exit ${exitCode}\n`).toBe(expected);
});

/** Returns the mounts of crun that a step lacks, or has with fewer restrictions. The types of the root and of binds are not compared: they are the host's. */
function weaker(ours: string[], theirs: string[]): string[] {
  const parse = (line: string) => {
    const [path = '', options = '', type = ''] = line.split(' ');
    return { path, type, options: new Set(options.split(',')) };
  };
  const have = new Map(ours.map((line) => [parse(line).path, parse(line)]));
  return theirs.filter((line) => {
    const { path, type, options } = parse(line);
    const mine = have.get(path);
    if (!mine || (!/^\/($|etc\/)/.test(path) && mine.type !== type)) return true;
    // /dev/null over a file hides the file, whether or not /dev/null is writable.
    const needed = type === 'devtmpfs' ? [] : ['ro', 'nosuid', 'nodev', 'noexec'];
    return needed.some((option) => options.has(option) && !mine.options.has(option));
  });
}
