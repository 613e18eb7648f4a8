import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const repository = join(import.meta.dirname, '../..');
/** The path of the clone inside the root. */
const checkout = '/root/fumehood';

/**
 * Makes a bare Debian 12 with its own Node 18 and npm 9 in `directory`, and in it a clone of this repository's last commit. The
 * root uses the same package sources as this machine.
 */
export function makeBareRoot(directory: string): void {
  execFileSync(
    'mmdebstrap',
    [
      ...[
        '--quiet',
        '--variant=minbase',
        '--include=nodejs,npm',
        '--skip=cleanup/apt/lists,cleanup/reproducible',
      ],
      // Nothing has to survive a power failure, and the tests need no manuals.
      ...[
        '--dpkgopt=force-unsafe-io',
        '--dpkgopt=path-exclude=/usr/share/man/*',
        '--dpkgopt=path-exclude=/usr/share/doc/*',
      ],
      ...['bookworm', directory],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) copyFileSync(file, join(directory, file));
  copyNpmSettings(directory);
  execFileSync('git', ['clone', '--quiet', '--no-hardlinks', repository, join(directory, checkout)]);
}

/** Lets npm in the root use the registry and the certificate authorities that this machine's npm is set to. */
function copyNpmSettings(directory: string): void {
  // npm reads its global settings beside the Node that runs it, and hands its settings down by environment. Those of the pinned
  // Node, which is in node_modules, are empty: this machine's Node has them.
  const path = (process.env.PATH ?? '').split(':').filter((entry) => !entry.includes('node_modules'));
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_config_/i.test(name));
  const env = { ...Object.fromEntries(inherited), PATH: path.join(':') };
  const setting = (name: string) =>
    execFileSync('npm', ['config', 'get', name], { encoding: 'utf8', env }).trim();
  const settings = join(directory, 'root/.npmrc');
  appendFileSync(settings, `registry=${setting('registry')}\n`);
  const cafile = setting('cafile');
  if (cafile === 'null') return;
  mkdirSync(dirname(join(directory, cafile)), { recursive: true });
  copyFileSync(cafile, join(directory, cafile));
  appendFileSync(settings, `cafile=${cafile}\n`);
}

/**
 * A shell script that runs a command with the directory as the root of a mount and PID namespace. It uses pivot_root, because in
 * a chroot the kernel forbids user namespaces, which the jail needs.
 */
const enterScript = `
  root=$1; upper=$2; shift 2
  if [ -n "$upper" ]; then
    mkdir "$upper/changes" "$upper/work" "$upper/root"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$upper/changes,workdir=$upper/work" "$upper/root"
    root=$upper/root
  fi
  mount --bind "$root" "$root"; cd "$root"
  mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs tmpfs run
  mkdir run/outside; pivot_root . run/outside; umount -l /run/outside
  cd ${checkout}; exec "$@"`;

/** What a command did. */
export interface CommandOutcome {
  readonly code: number | null;
  /** stdout and stderr, interleaved as they arrived. */
  readonly output: string;
}

/**
 * Runs a command in the clone of a bare root. When the command ends, every process that it left behind is killed. What it changes goes to the
 * empty directory `upper`, if there is one, and leaves the root as it was.
 */
export async function runInBareRoot(
  directory: string,
  argv: readonly string[],
  { log, upper = '' }: { readonly log: string; readonly upper?: string },
): Promise<CommandOutcome> {
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const child = spawn(
    'unshare',
    [...namespaces, 'sh', '-euc', enterScript, 'sh', directory, upper, ...argv],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/root',
        CI: 'true',
        // Only the registries of npm and Debian.
        GOPROXY: 'off',
        PIP_NO_INDEX: '1',
        CARGO_NET_OFFLINE: 'true',
      },
    },
  );
  const file = createWriteStream(log);
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  await new Promise((done) => file.end(done));
  return { code, output: readFileSync(log, 'utf8') };
}
