import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const hashOf = (algorithm: string, file: string, encoding: 'base64' | 'hex' = 'hex') =>
  createHash(algorithm).update(readFileSync(file)).digest(encoding);

/** Writes files below a directory. */
export function writeTree(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
}

/** Makes a git repository of these files, with one commit, whose id it returns. With the suffix `.git` it is a bare one. */
export function makeRepository(directory: string, files: Readonly<Record<string, string>>): string {
  const tree = `${directory}.tree`;
  writeTree(tree, files);
  return makeRepositoryOf(tree, directory);
}

/** Makes a git repository of a tree, which it takes away, with one commit, whose id it returns. With the suffix `.git` it is a bare one. */
export function makeRepositoryOf(tree: string, directory: string): string {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', '-C', tree, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-qm', 'first');
  const commit = git('rev-parse', 'HEAD');
  if (directory.endsWith('.git')) git('clone', '-q', '--bare', '.', directory);
  else cpSync(tree, directory, { recursive: true });
  rmSync(tree, { recursive: true });
  return commit;
}

/** Fetches the archive of a package of npm's public registry, for the time that `use` takes. */
function withNpmArchive(name: string, version: string, use: (archive: string) => void): void {
  const work = mkdtempSync(join(tmpdir(), 'npm-pack-'));
  try {
    execFileSync('npm', ['pack', '--silent', `${name}@${version}`], { cwd: work, stdio: 'pipe' });
    use(join(work, readdirSync(work)[0] ?? ''));
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Puts the files of a package of npm's public registry, as they were published, into a directory. */
export function fetchNpmPackage(name: string, version: string, directory: string): void {
  withNpmArchive(name, version, (archive) => {
    mkdirSync(directory, { recursive: true });
    execFileSync('tar', ['-xzf', archive, '--strip-components=1', '-C', directory]);
  });
}

/** Adds versions of a package of npm's public registry, with the archives that were published, to an npm registry of files, which is reached as `url`. */
export function mirrorNpmPackage(
  registry: string,
  url: string,
  name: string,
  published: readonly string[],
): void {
  const directory = join(registry, name);
  mkdirSync(join(directory, '-'), { recursive: true });
  const versions = published.map((version) => {
    const file = `-/${name}-${version}.tgz`;
    withNpmArchive(name, version, (archive) => cpSync(archive, join(directory, file)));
    const manifest = execFileSync('tar', ['-xzOf', join(directory, file), 'package/package.json'], {
      encoding: 'utf8',
    });
    const integrity = `sha512-${hashOf('sha512', join(directory, file), 'base64')}`;
    const dist = { tarball: `${url}/${name}/${file}`, integrity };
    return [version, { ...(JSON.parse(manifest) as object), dist }] as const;
  });
  writeTree(directory, {
    'index.html': JSON.stringify({
      name,
      'dist-tags': { latest: published.at(-1) },
      versions: Object.fromEntries(versions),
    }),
  });
}

/** Adds a package of one version to an npm registry of files, which is reached as `url`. Returns its entry for a lock file. */
export function addNpmPackage(
  registry: string,
  url: string,
  name: string,
  files: Readonly<Record<string, string>>,
): { readonly version: string; readonly resolved: string; readonly integrity: string } {
  const directory = join(registry, name, '-');
  const tarball = join(directory, `${name}.tgz`);
  writeTree(join(directory, 'package'), files);
  execFileSync('tar', ['-czf', tarball, '-C', directory, 'package']);
  rmSync(join(directory, 'package'), { recursive: true });
  const manifest = JSON.parse(files['package.json'] ?? '') as { version: string };
  const { version } = manifest;
  const resolved = `${url}/${name}/-/${name}.tgz`;
  const integrity = `sha512-${hashOf('sha512', tarball, 'base64')}`;
  const dist = { tarball: resolved, integrity };
  const versions = { [version]: { ...manifest, dist } };
  writeTree(join(registry, name), {
    'index.html': JSON.stringify({ name, 'dist-tags': { latest: version }, versions }),
  });
  return { version, resolved, integrity };
}

/** Writes the wheel of a Python package, which has a console script of the same name that calls its `main`, in a directory. Returns the wheel's name. */
export function makeWheel(directory: string, name: string, source: string): string {
  const wheel = `${name}-1.0-py3-none-any.whl`;
  const info = `${name}-1.0.dist-info`;
  const files = {
    [`${name}.py`]: source,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/entry_points.txt`]: `[console_scripts]\n${name} = ${name}:main\n`,
  };
  const record = [...Object.keys(files), `${info}/RECORD`].map((path) => `${path},,\n`).join('');
  mkdirSync(directory, { recursive: true });
  const work = join(directory, 'wheel');
  makeRepository(work, { ...files, [`${info}/RECORD`]: record });
  // A wheel is a zip archive, which git can write.
  execFileSync('git', ['-C', work, 'archive', '--format=zip', '-o', join(directory, wheel), 'HEAD']);
  rmSync(work, { recursive: true });
  return wheel;
}

/** Adds the wheel of a Python package to an index of files (PEP 503). */
export function addWheel(index: string, name: string, source: string): void {
  const directory = join(index, 'simple', name);
  const wheel = makeWheel(directory, name, source);
  const hash = hashOf('sha256', join(directory, wheel));
  writeTree(directory, {
    'index.html': `<!DOCTYPE html><a href="${wheel}#sha256=${hash}">${wheel}</a>`,
  });
}

/** Makes an apt repository of one package, which has a program of its name in `/usr/bin`. */
export function makeAptRepository(directory: string, name: string, program: string): void {
  const tree = join(directory, 'tree');
  const control = [
    ...[`Package: ${name}`, 'Version: 1.0', 'Architecture: all', 'Maintainer: T <t@t.test>'],
    'Description: of a test',
  ].join('\n');
  writeTree(tree, {
    'DEBIAN/control': `${control}\n`,
    'DEBIAN/postinst': `#!/bin/sh\necho "${name} was configured"\n`,
    [`usr/bin/${name}`]: program,
  });
  execFileSync('chmod', ['755', join(tree, 'DEBIAN/postinst'), join(tree, 'usr/bin', name)]);
  const file = join(directory, `${name}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '-b', tree, file], { stdio: 'ignore' });
  rmSync(tree, { recursive: true });
  const hash = hashOf('sha256', file);
  writeTree(directory, {
    Packages: `${control}\nFilename: ./${name}.deb\nSize: ${statSync(file).size}\nSHA256: ${hash}\n`,
  });
  const packages = join(directory, 'Packages');
  const sum = ` ${hashOf('sha256', packages)} ${statSync(packages).size} Packages`;
  writeTree(directory, {
    Release: `Suite: stable\nDate: ${new Date().toUTCString()}\nSHA256:\n${sum}\n`,
  });
}
