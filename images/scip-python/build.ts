import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuiltImage, buildImage, installNpm, runTool } from '../recipe.ts';

/** Python and pip, without which the indexer leaves an empty index, and what they are linked with and import. */
const python = [
  ...['python3', 'python3-minimal', 'python3.11', 'python3.11-minimal'],
  ...['libpython3-stdlib', 'libpython3.11-minimal', 'libpython3.11-stdlib'],
  ...['python3-pip', 'python3-setuptools', 'python3-wheel', 'python3-pkg-resources'],
  ...['python3-distutils', 'python3-lib2to3', 'media-types', 'ca-certificates'],
  ...['libexpat1', 'zlib1g', 'libbz2-1.0', 'liblzma5', 'libffi8', 'libsqlite3-0', 'libssl3', 'libuuid1'],
];

/** Files that nothing reads; the mark that keeps pip from installing where Debian does is one for machines that people administer. */
const excluded =
  /\/(docs?|gconv|audit)(\/|$)|\.(md|map)$|dist\/scip-python-test\.js$|python3\.11\/(EXTERNALLY-MANAGED$|(idlelib|turtledemo|config-3\.11-[^/]*)(\/|$))/;

/**
 * Builds the image of the Python indexer, once for each state of this recipe. It contains the pinned Node, `@sourcegraph/scip-python` as its
 * lock file pins it, Debian's Python and pip with the public certificate authorities, the C libraries, and busybox as the shell. The entrypoint
 * is the indexer. Errors: `tool_failed`.
 */
export async function build(options: {
  readonly directory: string;
  readonly onProgress: (line: string) => void;
}): Promise<BuiltImage> {
  const lock = join(import.meta.dirname, 'indexer/package-lock.json');
  const program = 'opt/scip-python/node_modules/@sourcegraph/scip-python';
  return await buildImage(
    {
      name: 'scip-python',
      sources: [join(import.meta.dirname, 'build.ts'), lock],
      debianPackages: ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'busybox-static', ...python],
      included: [
        ...['bin/busybox', 'lib64', 'lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'],
        ...['usr/bin/node', 'usr/bin/python3', 'usr/bin/python3.11', 'usr/bin/pip', 'usr/bin/pip3'],
        ...['usr/bin/scip-python', 'usr/lib/python3', 'usr/lib/python3.11', 'etc/python3.11', 'etc/ssl'],
        ...['etc/mime.types', 'usr/share/python-wheels'],
        // Its own bundle; the packages that it names besides are not loaded.
        program,
      ],
      excluded,
      async install(root) {
        await installNpm(join(import.meta.dirname, 'indexer'), join(root, 'opt/scip-python'));
        await writeFile(
          join(root, 'usr/bin/scip-python'),
          `#!/bin/sh\nexec /usr/bin/node /${program}/index.js "$@"\n`,
          { mode: 0o755 },
        );
        await bundleAuthorities(root);
        await compileModules(root);
      },
      config: {
        env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/root', 'PIP_ROOT_USER_ACTION=ignore'],
        entrypoint: ['/usr/bin/node', `/${program}/index.js`],
        cmd: ['index'],
        user: '',
        workingDir: '/',
      },
    },
    options,
  );
}

/** Writes the file of certificate authorities that Debian's pip trusts, which the package makes when it is configured. */
async function bundleAuthorities(root: string): Promise<void> {
  const directory = join(root, 'usr/share/ca-certificates/mozilla');
  const names = (await readdir(directory)).sort();
  const certificates = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  await mkdir(join(root, 'etc/ssl/certs'), { recursive: true });
  await writeFile(join(root, 'etc/ssl/certs/ca-certificates.crt'), certificates.join(''));
}

/** Compiles Python's modules, as Debian does when it installs them: otherwise each fresh VM does. */
async function compileModules(root: string): Promise<void> {
  const jail = ['--unshare-all', '--clearenv', '--setenv', 'PYTHONHASHSEED', '0', '--bind', root, '/'];
  const compile = ['-q', '--invalidation-mode', 'unchecked-hash'];
  const directories = ['/usr/lib/python3', '/usr/lib/python3.11'];
  // Some of Python's own test data is broken on purpose, and is left out here.
  await runTool(
    'bwrap',
    [
      ...[...jail, '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '--', '/usr/bin/python3.11', '-m'],
      ...['compileall', ...compile, '-x', 'lib2to3/tests', ...directories],
    ],
    root,
  );
}
