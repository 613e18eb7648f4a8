import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeClientPackage } from './client.ts';
import { makeDeb } from './deb.ts';
import { sbomOf } from './sbom.ts';
import { repository, runtimePackages, version, writeTree } from './tree.ts';

const help = `npm run package [-- --out DIR]

  --out DIR   the directory to write to (dist/)

Makes what users install: the npm packages fumehood-${version}.tgz and fumehood-client-${version}.tgz (@fumehood/client), the Debian package fumehood_${version}_amd64.deb,
a bill of materials (CycloneDX), and SHA256SUMS.
`;

/** Makes the packages. Prints the path of each file on stdout, and progress on stderr. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return void process.stdout.write(help);
  const out = resolve(values.out ?? join(repository, 'dist'));
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'fumehood-package-'));
  process.once('SIGINT', () => {
    rmSync(work, { recursive: true, force: true });
    process.exit(130);
  });
  process.umask(0o022);
  try {
    const tree = join(work, 'tree');
    progress('bundling the command line and the programs, and compiling init and the launcher');
    const bundled = await writeTree(tree);
    writeFileSync(join(tree, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
    const files = [
      `fumehood-${version}.tgz`,
      `fumehood_${version}_amd64.deb`,
      `fumehood-${version}.cdx.json`,
      `fumehood-client-${version}.tgz`,
    ];
    const [tgz, deb, sbom, client] = files.map((name) => join(out, name)) as [string, string, string, string];
    progress('making the npm package');
    execFileSync('npm', ['pack', '--silent', '--pack-destination', work, tree], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    renameAcross(join(work, `fumehood-${version}.tgz`), tgz);
    progress('bundling the library for programs');
    const library = join(work, 'client');
    const ofLibrary = await writeClientPackage(library);
    execFileSync('npm', ['pack', '--silent', '--pack-destination', work, library], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    renameAcross(join(work, `fumehood-client-${version}.tgz`), client);
    progress('making the Debian package');
    const root = join(work, 'deb');
    mkdirSync(root);
    makeDeb(tree, { version, file: join(work, 'fumehood.deb'), work: root });
    renameAcross(join(work, 'fumehood.deb'), deb);
    const parts = new Map([...bundled, ...ofLibrary].map((one) => [one.name, one]));
    const own = { name: '@fumehood/client', version, license: 'Apache-2.0' };
    writeFileSync(sbom, sbomOf(version, [...parts.values(), own], runtimePackages()));
    writeFileSync(
      join(out, 'SHA256SUMS'),
      files.map((name) => `${sha256(join(out, name))}  ${name}\n`).join(''),
    );
    for (const name of [...files, 'SHA256SUMS']) process.stdout.write(`${join(out, name)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The package's `package.json`. Other platforms get the command line alone, which uses instances elsewhere. */
function manifest(): object {
  const { description, license, engines } = JSON.parse(
    readFileSync(join(repository, 'package.json'), 'utf8'),
  ) as Record<string, unknown> & { engines: { node: string } };
  return {
    name: 'fumehood',
    version,
    description,
    license,
    type: 'module',
    bin: { fumehood: 'bin/fumehood.mjs' },
    optionalDependencies: runtimePackages(),
    fumehood: { node: engines.node.replace('>=', '') },
  };
}

const progress = (line: string) => process.stderr.write(`${line}\n`);

/** Moves a file, also to another file system. Nobody sees it half written. */
function renameAcross(from: string, to: string): void {
  execFileSync('cp', [from, `${to}.partial`]);
  renameSync(`${to}.partial`, to);
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

await main();
