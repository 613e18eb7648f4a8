import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cachedKernelPackage } from '../../packages/executor/src/testing/test-guest.ts';
import { type CpioEntry, cpio } from '../../packages/microvm/src/guest/cpio.ts';

const repository = join(import.meta.dirname, '../..');
/** Modules of Debian's cloud kernel, each after its dependencies. */
const modules = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  ...['fuse', 'virtiofs', 'overlay', 'irqbypass', 'kvm', 'kvm-amd'],
  ...['tun', 'libcrc32c', 'nfnetlink', 'nf_tables', 'nft_objref', 'nft_limit'],
  ...['nf_defrag_ipv4', 'nf_defrag_ipv6', 'nf_tproxy_ipv4', 'nf_tproxy_ipv6', 'nft_tproxy'],
];
const memoryMiB = 8_192;

/** What a command in the machine did. */
export interface NestedOutcome {
  readonly code: number;
  /** stdout and stderr, interleaved as they arrived. */
  readonly output: string;
}

/**
 * Boots an emulated machine whose processor has hardware virtualization (AMD SVM, which QEMU emulates), runs one command in it as
 * root, and ends it. The machine sees the files of this one, read-only; what it writes is in its memory and is lost. It has no
 * network. Its kernel, QEMU and virtiofsd come from Debian. Rejects when the machine ends without an exit code of the command.
 */
export async function runNested(
  argv: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly timeoutMs: number;
    readonly onOutput?: (chunk: Buffer) => void;
  },
): Promise<NestedOutcome> {
  const directory = mkdtempSync(join(tmpdir(), 'nested-'));
  const children: ChildProcess[] = [];
  try {
    const tree = await cachedKernelPackage();
    const initramfs = join(directory, 'initramfs.cpio');
    writeFileSync(initramfs, cpio(initramfsEntries(tree, directory, commandScript(argv, options.env ?? {}))));
    const socket = join(directory, 'root.sock');
    children.push(shareRoot(socket, directory));
    for (let tries = 0; !existsSync(socket); tries++) {
      if (tries > 100)
        throw new Error(`virtiofsd did not start: ${readText(join(directory, 'virtiofsd.log'))}`);
      await sleep(50);
    }
    const qemu = startQemu({ tree, initramfs, socket, directory });
    children.push(qemu);
    let output = '';
    qemu.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      options.onOutput?.(chunk);
    });
    let why = 'ended before its command';
    const timer = setTimeout(() => {
      why = `did not run its command to the end within ${options.timeoutMs} ms`;
      qemu.kill('SIGKILL');
    }, options.timeoutMs);
    await once(qemu, 'close');
    clearTimeout(timer);
    const code = /^\d+/.exec(readText(join(directory, 'exit-code')))?.[0];
    if (code === undefined) {
      const console = readText(join(directory, 'console')).slice(-3_000);
      // QEMU's emulation of SVM is not perfect: a run can end in the stack of the machine's own kernel.
      if (/Kernel panic/.test(console)) why = 'ended, because its own kernel panicked: try again';
      throw new Error(
        `the nested machine ${why}\n${output.slice(-3_000)}\n${console}${readText(join(directory, 'qemu.log'))}`,
      );
    }
    return { code: Number(code), output };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map(ended));
    rmSync(directory, { recursive: true });
  }
}

/** Returns the script that runs the command in this repository, with the Node that runs this process. */
function commandScript(argv: readonly string[], more: Readonly<Record<string, string>>): string {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const env = {
    PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/root',
    ...more,
  };
  const settings = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`));
  return `cd ${quote(repository)} && exec env -i ${settings.join(' ')} ${argv.map(quote).join(' ')}\n`;
}

function initramfsEntries(tree: string, work: string, command: string): CpioEntry[] {
  const init = join(work, 'init');
  execFileSync('gcc', [
    '-static',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-s',
    '-o',
    init,
    join(import.meta.dirname, 'init.c'),
  ]);
  const directories = ['modules', 'lower', 'written', 'new'].map((path) => ({ path, mode: 0o755 }));
  const file = (path: string, content: Buffer) => ({ path, mode: 0o755, content });
  const [release = ''] = readdirSync(join(tree, 'lib/modules'));
  const root = join(tree, 'lib/modules', release);
  const all = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return [
    ...directories,
    file('init', readFileSync(init)),
    file('start.sh', readFileSync(join(import.meta.dirname, 'start.sh'))),
    file('command.sh', Buffer.from(command)),
    file('modules/order', Buffer.from(modules.map((name) => `${name}.ko\n`).join(''))),
    ...modules.map((name) => {
      const found = all.find((path) => path.endsWith(`/${name}.ko`));
      if (!found) throw new Error(`the kernel package has no module ${name}`);
      const stripped = join(work, `${name}.ko`);
      execFileSync('strip', ['-g', '-o', stripped, join(root, found)]);
      return file(`modules/${name}.ko`, readFileSync(stripped));
    }),
  ];
}

/** Serves the root of this machine, read-only, on a socket for one VMM; ends with the VMM. */
function shareRoot(socket: string, directory: string): ChildProcess {
  const virtiofsd = [
    '/usr/lib/qemu/virtiofsd',
    ...[`--socket-path=${socket}`, '--rlimit-nofile=0'],
    ...['-o', 'source=/mnt,cache=always,sandbox=chroot'],
  ];
  const bwrap = [
    '--die-with-parent',
    '--bind',
    '/',
    '/',
    '--dev-bind',
    '/dev',
    '/dev',
    '--ro-bind',
    '/',
    '/mnt',
  ];
  return start('bwrap', [...bwrap, '--', ...virtiofsd], join(directory, 'virtiofsd.log'));
}

/** Starts the machine. Its console goes to the file `console`, the output of the command to stdout, its exit code to `exit-code`. */
function startQemu(files: {
  tree: string;
  initramfs: string;
  socket: string;
  directory: string;
}): ChildProcess {
  const boot = join(files.tree, 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-')) ?? '';
  const qemu = [
    '/usr/bin/qemu-system-x86_64',
    ...['-M', 'q35,memory-backend=memory', '-accel', 'tcg,thread=multi', '-cpu', 'EPYC-Rome', '-smp', '2'],
    ...['-m', `${memoryMiB}M`, '-object', `memory-backend-memfd,id=memory,size=${memoryMiB}M,share=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', join(boot, kernel), '-initrd', files.initramfs],
    ...['-append', 'console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off tsc=reliable'],
    ...['-serial', `file:${join(files.directory, 'console')}`],
    ...['-serial', 'stdio'],
    ...['-serial', `file:${join(files.directory, 'exit-code')}`],
    ...[
      '-chardev',
      `socket,id=root,path=${files.socket}`,
      '-device',
      'vhost-user-fs-pci,chardev=root,tag=root',
    ],
  ];
  return start('setpriv', ['--pdeathsig', 'KILL', ...qemu], join(files.directory, 'qemu.log'));
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

/** Starts a program with its stderr in a file. */
function start(program: string, args: readonly string[], log: string): ChildProcess {
  const file = openSync(log, 'w');
  try {
    return spawn(program, args, { stdio: ['ignore', 'pipe', file] });
  } finally {
    closeSync(file);
  }
}

function readText(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
