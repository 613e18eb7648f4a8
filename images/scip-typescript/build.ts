import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuiltImage, buildImage, installNpm } from '../recipe.ts';

/**
 * Scripts in the image's PATH, by the programs below `node_modules` that they run; jobs with commands of their own name them. Later versions of
 * npm run hooks only after an approval.
 */
const scripts: Readonly<Record<string, string>> = {
  npm: 'npm/bin/npm-cli.js',
  'scip-typescript': '@sourcegraph/scip-typescript/dist/src/main.js',
};

/** Files that the indexer never reads; without them the image has half the size. */
const excluded =
  /\/(docs?|gconv|audit)(\/|$)|\.(md|map)$|typescript\/lib\/((_?tsc|_?tsserver|_?typingsInstaller|watchGuard|tsserverlibrary)\.js|[a-z]{2}(-[a-z]+)?(\/|$))|\.test\.js$|typescript\/bin/;

/**
 * Builds the image of the TypeScript indexer, once for each state of this recipe. It contains the pinned Node,
 * `@sourcegraph/scip-typescript` and npm as its lock file pins them, the C libraries, and busybox as the shell. The entrypoint is the indexer.
 * Errors: `tool_failed`.
 */
export async function build(options: {
  readonly directory: string;
  readonly onProgress: (line: string) => void;
}): Promise<BuiltImage> {
  const lock = join(import.meta.dirname, 'indexer/package-lock.json');
  return await buildImage(
    {
      name: 'scip-typescript',
      sources: [join(import.meta.dirname, 'build.ts'), lock],
      // Libraries that Node is linked with, and a shell for jobs with their own commands.
      debianPackages: ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'busybox-static'],
      // The rest of the Debian packages is documentation.
      included: [
        'bin/busybox',
        'lib64',
        'lib/x86_64-linux-gnu',
        'usr/lib/x86_64-linux-gnu',
        'usr/bin/node',
        ...Object.keys(scripts).map((name) => `usr/bin/${name}`),
        'opt/scip-typescript',
      ],
      excluded,
      async install(root) {
        await installNpm(join(import.meta.dirname, 'indexer'), join(root, 'opt/scip-typescript'));
        await mkdir(join(root, 'usr/bin'), { recursive: true });
        for (const [name, program] of Object.entries(scripts)) {
          const script = `#!/bin/sh\nexec /usr/bin/node /opt/scip-typescript/node_modules/${program} "$@"\n`;
          await writeFile(join(root, 'usr/bin', name), script, { mode: 0o755 });
        }
      },
      config: {
        env: ['PATH=/usr/bin:/bin', 'HOME=/root'],
        entrypoint: [
          '/usr/bin/node',
          '/opt/scip-typescript/node_modules/@sourcegraph/scip-typescript/dist/src/main.js',
        ],
        cmd: ['index'],
        user: '',
        workingDir: '/',
      },
    },
    options,
  );
}
