import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { writeImageArchive } from '@fumehood/oci';
import { cached } from '../../packages/executor/src/testing/test-guest.ts';
import { writeTree } from './packages.ts';

/** What the image has of this machine: its package managers, with what they need, and what maintainers' scripts use. */
const packages = [
  ...['apt', 'dpkg', 'git', 'python3', 'dash', 'coreutils', 'diffutils', 'libc-bin', 'sed', 'grep'],
  ...['libatomic1', 'libstdc++6'],
];
const left = /^\/usr\/share\/(doc|man|locale|info|lintian|bash-completion|perl)\//;
/** Later versions of npm run hooks only after an approval. */
const npmVersion = '11.19.1';

const ownEnv = [
  ...[
    'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME=/root',
    'PYTHONPATH=/opt/python',
    'PIP_BREAK_SYSTEM_PACKAGES=1',
  ],
  ...['DEBIAN_FRONTEND=noninteractive', 'npm_config_update_notifier=false'],
];

/**
 * Writes an image archive with apt, git and Python as they are installed on this machine, pip, the Node that runs this process, and npm. `files`
 * are added. Takes some seconds, and the first time npm's registry and a mirror of Debian. Returns its path.
 */
export async function debianImage(
  directory: string,
  env: readonly string[],
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const root = join(directory, 'debian');
  const layerFile = join(directory, 'debian.layer');
  const file = join(directory, 'debian.tar');
  mkdirSync(root);
  try {
    copyInstalled(root, layerFile);
    copyFileSync(process.execPath, join(root, 'usr/bin/node'));
    cpSync(await cached(`npm-${npmVersion}`, fetchNpm), join(root, 'opt/npm'), { recursive: true });
    symlinkSync('/opt/npm/bin/npm-cli.js', join(root, 'usr/bin/npm'));
    cpSync(await cached('python-pip', fetchPip), join(root, 'opt/python'), { recursive: true });
    writeTree(root, {
      'etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
      'etc/group': 'root:x:0:\n',
      'etc/apt/apt.conf': 'APT::Sandbox::User "root";\n',
      'var/lib/dpkg/status': '',
      ...files,
    });
    mkdirSync(join(root, 'tmp'), { recursive: true });
    execFileSync('tar', ['-cf', layerFile, '-C', root, '.']);
    const config = { env: [...ownEnv, ...env] };
    await writeImageArchive(file, {
      config: { ...config, entrypoint: [], cmd: ['sh'], user: '', workingDir: '/' },
      layerFile,
    });
    return file;
  } finally {
    rmSync(root, { recursive: true });
    rmSync(layerFile, { force: true });
  }
}

/** Copies the files of the packages, and of all that they depend on. */
function copyInstalled(root: string, listFile: string): void {
  const lines = (program: string, args: readonly string[]) =>
    execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
      .trim()
      .split('\n');
  const installed = new Set(lines('dpkg-query', ['-W', '-f', '${Package}\n']));
  const others = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
  const depends = ['depends', '--recurse', '--installed', ...others.map((kind) => `--no-${kind}`)];
  const names = lines('apt-cache', [...depends, ...packages]).filter((line) => installed.has(line));
  const paths = lines('dpkg-query', ['-L', ...new Set(names)]).filter(
    (path) => path.startsWith('/') && path !== '/.' && !left.test(path),
  );
  const merged = ['bin', 'sbin', 'lib', 'lib64'];
  for (const name of merged) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  // Debian compiles Python's modules when it installs them.
  const compiled = (path: string) => path.replace(/\/([^/]+)\.py$/, '/__pycache__/$1.cpython-311.pyc');
  const found = [...new Set(paths.flatMap((path) => [path, compiled(path)]))].filter(
    (path) => !merged.includes(path.slice(1)) && existsSync(path),
  );
  writeFileSync(listFile, found.map((path) => `.${path}\n`).join(''));
  const copy = 'tar -c --no-recursion -C / -T "$1" | tar -x -C "$2"';
  execFileSync('sh', ['-euc', copy, 'sh', listFile, root]);
}

async function fetchNpm(work: string): Promise<string> {
  execFileSync('npm', ['pack', '--silent', `npm@${npmVersion}`], { cwd: work, stdio: 'pipe' });
  execFileSync('tar', ['-xf', `npm-${npmVersion}.tgz`], { cwd: work });
  return join(work, 'package');
}

async function fetchPip(work: string): Promise<string> {
  const fetch = ['download', '-o', 'APT::Sandbox::User=root', 'python3-pip-whl'];
  execFileSync('apt-get', fetch, { cwd: work, stdio: 'pipe' });
  const [deb = ''] = readdirSync(work);
  execFileSync('dpkg-deb', ['-x', deb, 'tree'], { cwd: work });
  const wheels = join(work, 'tree/usr/share/python-wheels');
  const wheel = readdirSync(wheels).find((name) => name.startsWith('pip-')) ?? '';
  const python = (...args: string[]) => execFileSync('/usr/bin/python3', ['-m', ...args], { cwd: work });
  python('zipfile', '-e', join(wheels, wheel), 'pip');
  python('compileall', '-q', '--invalidation-mode', 'unchecked-hash', 'pip');
  return join(work, 'pip');
}
