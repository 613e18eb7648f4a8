import { ancestorsOf, below, byDepth, type CommitFiles, directoryOf, isIncluded, nameOf } from '../files.ts';
import { nodeMemory, type Recognizer } from '../recognizer.ts';
import type { PlannedJob } from '../spec.ts';

const isOurs = (path: string) => isIncluded(path, ['node_modules']);
/** Files that say which version of Node a project wants. */
const versionFiles = ['.nvmrc', '.node-version', '.n-node-version'];
/** Installs the version of Node that the project wants, in an image that has the tool for it; its programs are linked with musl. */
const chooseNode =
  'if command -v n >/dev/null; then N_NODE_MIRROR=https://unofficial-builds.nodejs.org/download/release n --arch x64-musl auto; fi';

/**
 * TypeScript and JavaScript. Each directory with a `tsconfig.json` is a project; without any, the root is one if there is a `package.json`
 * anywhere. Each ancestor with a `package.json` has its dependencies installed first, the root's before the others.
 */
export const typescript: Recognizer = {
  language: 'typescript',
  contentPaths: (paths) =>
    paths.filter((path) => isOurs(path) && ['package.json', 'lerna.json'].includes(nameOf(path))),
  jobs(commit, image) {
    const files = readCommit(commit);
    const configs = files.paths.filter((path) => nameOf(path) === 'tsconfig.json' && isOurs(path));
    if (configs.length > 0)
      return configs.map((path) =>
        job(files, image, directoryOf(path), `${path} makes its directory a project`),
      );
    const manifest = files.paths
      .filter((path) => nameOf(path) === 'package.json' && isOurs(path))
      .sort(byDepth)[0];
    if (manifest === undefined) return [];
    return [
      job(files, image, '', `there is ${manifest}, and no tsconfig.json: the indexer infers one`, true),
    ];
  },
};

/** A commit's files, ready to be asked for many directories. */
interface Known extends CommitFiles {
  readonly known: ReadonlySet<string>;
  /** The JSON objects of the files that were read; a broken file is missing. */
  readonly objects: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

function readCommit(files: CommitFiles): Known {
  const objects = new Map<string, Readonly<Record<string, unknown>>>();
  for (const [path, text] of files.contents) {
    if (!path.endsWith('.json')) continue;
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null) objects.set(path, value as Record<string, unknown>);
    } catch {} // a broken file says nothing
  }
  return { ...files, known: new Set(files.paths), objects };
}

function job(files: Known, image: string, root: string, reason: string, inferred = false): PlannedJob {
  const { known } = files;
  const ancestors = ancestorsOf(root);
  const first = wantsNode(files, ancestors) ? [chooseNode] : [];
  const steps = ancestors
    .filter((directory) => known.has(below(directory, 'package.json')))
    // The root of a workspace installs what its members need.
    .filter((directory, _, all) => !isMember(files, directory, all))
    .map((directory) => ({
      root: directory,
      image,
      commands: [...first, installCommand(files, directory) + (inferred ? ' --ignore-scripts' : '')],
    }));
  return {
    reason,
    spec: {
      steps,
      local_steps: [...first, nodeMemory],
      root,
      indexer: image,
      indexer_args: ['scip-typescript', 'index', ...(inferred ? ['--infer-tsconfig'] : [])],
      outfile: 'index.scip',
      requestedEnvVars: ['NPM_TOKEN'],
    },
  };
}

/** Returns the command that installs the dependencies of a directory with the package manager that its lock file names. */
function installCommand({ known, objects }: Known, directory: string): string {
  if (known.has(below(directory, 'pnpm-lock.yaml'))) return 'pnpm install --frozen-lockfile';
  const yarn =
    known.has(below(directory, 'yarn.lock')) ||
    ancestorsOf(directory).some((above) => objects.get(below(above, 'lerna.json'))?.npmClient === 'yarn');
  if (yarn) return 'yarn';
  return known.has(below(directory, 'package-lock.json')) ? 'npm ci' : 'npm install';
}

/** Returns whether a directory without a lock file of its own is below the root of a workspace, which installs for its members. */
function isMember({ known, objects }: Known, directory: string, manifests: readonly string[]): boolean {
  const locks = ['package-lock.json', 'yarn.lock', 'pnpm-lock.yaml'];
  if (locks.some((name) => known.has(below(directory, name)))) return false;
  return manifests.some(
    (above) =>
      above !== directory &&
      ancestorsOf(directory).includes(above) &&
      (objects.get(below(above, 'package.json'))?.workspaces !== undefined ||
        known.has(below(above, 'pnpm-workspace.yaml'))),
  );
}

function wantsNode({ known, objects }: Known, ancestors: readonly string[]): boolean {
  return ancestors.some((directory) => {
    const engines = objects.get(below(directory, 'package.json'))?.engines;
    const engine = typeof engines === 'object' && engines !== null && 'node' in engines;
    return engine || versionFiles.some((name) => known.has(below(directory, name)));
  });
}
