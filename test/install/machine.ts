import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Starts systemd on an overlay of a root. It has namespaces of its own but that of the network, so that packages come from where this
 * machine gets them, and machines reach each other on loopback. The devices are those that a container has, with the one for KVM if there is one.
 */
const bootScript = `
  lower=$1; place=$2; name=$3
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$place/changes,workdir=$place/work" "$place/root"
  cd "$place/root"; echo "$name" >etc/hostname
  mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs tmpfs dev; mkdir dev/pts dev/shm dev/net
  for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'net/tun 10 200'; do
    set -- $device; mknod -m 666 "dev/$1" c "$2" "$3"
  done
  mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
  mount -t tmpfs tmpfs dev/shm; mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp
  mkdir run/outside; pivot_root . run/outside; umount -l /run/outside
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \\
    /lib/systemd/systemd --system --unit=multi-user.target --show-status=no --log-target=console --log-level=warning`;

const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) =>
  existsSync(join(path, 'cgroup.procs')),
) as string;

/** What a command did: stdout and stderr, interleaved as they arrived. */
export interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** A Debian machine with systemd, as a container of the test's own. */
export class Machine {
  readonly #process: ChildProcess;
  readonly #cgroup: string;
  /** The pid of its systemd. */
  readonly #init: number;

  private constructor(process: ChildProcess, cgroup: string, init: number) {
    this.#process = process;
    this.#cgroup = cgroup;
    this.#init = init;
  }

  /** Boots a machine of this name on a copy of the root `lower`. `place` is a directory for what it changes. */
  static async boot(lower: string, place: string, name: string): Promise<Machine> {
    for (const path of ['changes', 'work', 'root']) mkdirSync(join(place, path), { recursive: true });
    const cgroup = join(unified, `fumehood-test-${process.pid}-${name}`);
    mkdirSync(cgroup);
    const flags = ['--mount', '--pid', '--fork', '--kill-child', '--uts', '--ipc', '--cgroup'];
    const enter = `echo $$ >"$1/cgroup.procs"; shift; exec unshare ${flags.join(' ')} --propagation private sh -euc "$@"`;
    const child = spawn('sh', ['-euc', enter, 'sh', cgroup, bootScript, 'sh', lower, place, name], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-20_000);
      });
    const pid = child.pid as number;
    const giveUpAt = Date.now() + 60_000;
    for (;;) {
      if (child.exitCode !== null || Date.now() > giveUpAt) throw new Error(`${name} did not boot: ${log}`);
      const [init] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      if (init) {
        const machine = new Machine(child, cgroup, Number(init));
        const { output } = await machine.run('systemctl is-system-running --wait');
        if (/running|degraded/.test(output)) return machine;
      }
      await delay(200);
    }
  }

  /** Runs a shell script in the machine, as root. */
  async run(script: string): Promise<Outcome> {
    const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--cgroup'];
    const shell = ['sh', '-euc', `exec 2>&1; cd /root; ${script}`];
    const child = spawn('nsenter', ['--target', String(this.#init), ...namespaces, ...shell], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', DEBIAN_FRONTEND: 'noninteractive' },
    });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    return { code, output };
  }

  /** Kills everything that runs in the machine. */
  async stop(): Promise<void> {
    const exited = this.#process.exitCode === null ? once(this.#process, 'exit') : null;
    this.#process.kill('SIGKILL'); // the kernel kills its child, systemd, and with it the whole PID namespace
    await exited;
    const events = () => readFileSync(join(this.#cgroup, 'cgroup.events'), 'utf8');
    while (events().includes('populated 1')) await delay(20);
    for (const path of cgroupsOf(this.#cgroup)) rmdirSync(path);
  }
}

/** Returns a cgroup and those in it, the innermost first. */
function cgroupsOf(cgroup: string): string[] {
  return execFileSync('find', [cgroup, '-depth', '-type', 'd'], { encoding: 'utf8' }).trim().split('\n');
}

/** Makes a bare Debian 12 with systemd in `directory`, which uses the same package sources as this machine. */
export function makeSystemdRoot(directory: string): void {
  const options = [
    ...['--quiet', '--variant=minbase', '--include=systemd-sysv,ca-certificates'],
    '--skip=cleanup/apt/lists,cleanup/reproducible',
    ...['--dpkgopt=force-unsafe-io', '--dpkgopt=path-exclude=/usr/share/man/*'],
  ];
  execFileSync('mmdebstrap', [...options, 'bookworm', directory], { stdio: ['ignore', 'ignore', 'inherit'] });
  const copy = (file: string) => writeFileSync(join(directory, file), readFileSync(file));
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) copy(file);
}
