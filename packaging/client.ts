import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundleOptions } from '../packages/fumehood/src/bundle/options.ts';
import { type Bundled, bundledPackages } from './bundled.ts';
import { repository, thirdParty, version } from './tree.ts';

const source = join(repository, 'packages/client');
/** The files with the types of what the package exports. They import no types from others. */
const typed = ['packages/base/src/errors.ts', 'packages/client/src/run/library.ts'];
const entry = `
export { FumehoodError } from '@fumehood/base';
export { run } from './run/library.ts';
`;

/** The oldest Node on which the library runs. */
const node = '18';

/**
 * Writes the npm package `@fumehood/client`: one bundled file without dependencies, and its types. Returns the npm packages whose code is
 * part of it.
 */
export async function writeClientPackage(root: string): Promise<readonly Bundled[]> {
  mkdirSync(root, { recursive: true });
  const { metafile } = await build({
    ...bundleOptions,
    target: `node${node}`,
    // `require` loads the modules of Node in those that have no `getBuiltinModule`, too.
    define: { 'process.getBuiltinModule': 'require' },
    metafile: true,
    absWorkingDir: repository,
    stdin: { contents: entry, resolveDir: join(source, 'src'), loader: 'ts' },
    outfile: join(root, 'index.mjs'),
    minifyWhitespace: true,
    minifySyntax: true,
  });
  const types = declarations();
  if (/^(import|export \*)|\bfrom '/m.test(types))
    throw new Error('the types of the library need other files');
  writeFileSync(join(root, 'index.d.mts'), types);
  writeFileSync(join(root, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
  cpSync(join(source, 'README.md'), join(root, 'README.md'));
  cpSync(join(repository, 'LICENSE'), join(root, 'LICENSE'));
  const bundled = bundledPackages([metafile], repository);
  writeFileSync(join(root, 'THIRD-PARTY.txt'), thirdParty(bundled));
  return bundled;
}

/** Returns the types of the library, as the compiler declares them. */
function declarations(): string {
  const work = mkdtempSync(join(tmpdir(), 'fumehood-types-'));
  try {
    const options = { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: repository };
    const config = {
      extends: join(repository, 'tsconfig.base.json'),
      compilerOptions: { ...options, outDir: work, typeRoots: [join(repository, 'node_modules/@types')] },
      files: typed.map((file) => join(repository, file)),
    };
    const file = join(work, 'tsconfig.json');
    writeFileSync(file, JSON.stringify(config));
    execFileSync(join(repository, 'node_modules/.bin/tsc'), ['-p', file], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    return typed.map((one) => readFileSync(join(work, one.replace(/ts$/, 'd.ts')), 'utf8')).join('');
  } finally {
    rmSync(work, { recursive: true });
  }
}

function manifest(): object {
  return {
    name: '@fumehood/client',
    version,
    description: 'Runs commands in fresh virtual machines, on an instance of Fumehood.',
    license: 'Apache-2.0',
    type: 'module',
    sideEffects: false,
    exports: { types: './index.d.mts', default: './index.mjs' },
    engines: { node: `>=${node}` },
  };
}
