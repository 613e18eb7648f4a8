import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuiltImage, buildImage, tool } from '../recipe.ts';

/** Never read by an indexer, and half of the image. */
const unwanted =
  /\/(docs?|gconv|audit)(\/|$)|\.(md|map)$|typescript\/lib\/((_?tsc|_?tsserver|_?typingsInstaller|watchGuard|tsserverlibrary)\.js|[a-z]{2}(-[a-z]+)?(\/|$))|\.test\.js$|typescript\/bin/;

/**
 * Builds the image of the TypeScript indexer from npm and Debian packages, once for each state of this recipe: the pinned
 * Node, `@sourcegraph/scip-typescript` by its lock file, the C libraries, and busybox as its shell. Its entrypoint is the indexer.
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
      // What Node is linked with, and a shell for jobs that have commands of their own.
      debianPackages: ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'busybox-static'],
      // Of the Debian packages the rest is documentation.
      wanted: [
        'bin/busybox',
        'lib64',
        'lib/x86_64-linux-gnu',
        'usr/lib/x86_64-linux-gnu',
        'usr/bin/node',
        'opt/scip-typescript',
      ],
      unwanted,
      install: (root) => installIndexer(join(root, 'opt/scip-typescript')),
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

async function installIndexer(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    await copyFile(join(import.meta.dirname, 'indexer', name), join(directory, name));
  const flags = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--no-bin-links'];
  await tool('npm', ['ci', ...flags], directory);
}
