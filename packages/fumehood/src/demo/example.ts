import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gitEnvironment } from '@fumehood/git';

/** A project with one dependency, and a hook that writes a source file, so that the index shows whether it ran. */
const name = 'fumehood-example';
const dependencies = { mitt: '3.0.1' };
const manifest = {
  ...{ name, version: '1.0.0', private: true, type: 'module', dependencies },
  scripts: { postinstall: 'node install.mjs' },
};
const files: Readonly<Record<string, string>> = {
  'package.json': JSON.stringify(manifest, null, 2),
  'package-lock.json': JSON.stringify({
    ...{ name, version: '1.0.0', lockfileVersion: 3, requires: true },
    packages: {
      '': { name, version: '1.0.0', hasInstallScript: true, dependencies },
      'node_modules/mitt': {
        version: '3.0.1',
        integrity:
          'sha512-vKivATfr97l2/QBCYAkXYDbrIWPM2IIKEl7YPhjCvKlG3kE2gm+uBo6nEXK3M5/Ffh/FLpKExzOQ3JJoJGFKBw==',
      },
    },
  }),
  'install.mjs':
    "import { writeFileSync } from 'node:fs';\nwriteFileSync('src/installed.ts', 'export const installed = true;\\n');\n",
  'src/main.ts': `import mitt, { type Emitter } from 'mitt';
import { installed } from './installed.js';

export const greeted: string[] = [];
export const events: Emitter<{ greeted: string }> = mitt();
if (installed) events.on('greeted', (name) => greeted.push(name));
`,
  'tsconfig.json':
    '{ "compilerOptions": { "target": "es2022", "module": "nodenext" }, "include": ["src"] }\n',
};

/** Makes a git repository of the example in a new directory, and returns its path. The caller removes it. */
export async function makeExample(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fumehood-example-'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  const who = ['-c', 'user.name=Fumehood', '-c', 'user.email=fumehood@localhost'];
  for (const args of [
    ['init', '-q'],
    ['add', '-A'],
    [...who, 'commit', '-qm', 'The example'],
  ])
    execFileSync('/usr/bin/git', ['-C', directory, ...args], { env: gitEnvironment, stdio: 'pipe' });
  return directory;
}
