import { ancestorsOf, below, byDepth, directoryOf, isIncluded, nameOf } from '../files.ts';
import { nodeMemory, type Recognizer } from '../recognizer.ts';
import type { PlannedJob } from '../spec.ts';

const projectFiles = ['requirements.txt', 'pyproject.toml', 'setup.py'];
const metadata = 'PKG-INFO';
const install = 'pip install . || true';

/**
 * Python. Metadata of packages (`NAME.egg-info/PKG-INFO`) say which directories are libraries, and their names and versions; without any, each
 * directory with a project file is a project.
 */
export const python: Recognizer = {
  language: 'python',
  contentPaths: (paths) => paths.filter((path) => nameOf(path) === metadata && isIncluded(path)),
  jobs({ paths, contents }, image) {
    const libraries = [...contents]
      .filter(([path]) => nameOf(path) === metadata)
      .flatMap(([path, text]) => {
        const root = directoryOf(path).endsWith('.egg-info')
          ? directoryOf(directoryOf(path))
          : directoryOf(path);
        const [name, version] = [field(text, 'Name'), field(text, 'Version')];
        return name && version ? [{ path, root, name, version }] : [];
      })
      .sort((one, other) => byDepth(one.root, other.root));
    if (libraries.length > 0) {
      return libraries.map(({ path, root, name, version }) => {
        const excluded = libraries.flatMap((library) =>
          library.root !== root && ancestorsOf(library.root).includes(root)
            ? [root === '' ? library.root : library.root.slice(root.length + 1)]
            : [],
        );
        const args = ['scip-python', 'index', '.', '--project-name', name, '--project-version', version];
        return job(image, root, `${path} names the package ${name} ${version}`, {
          steps: [{ root: '', image, commands: [install] }],
          local_steps: [nodeMemory],
          indexer_args: [...args, ...(excluded.length > 0 ? ['--exclude', excluded.join()] : [])],
        });
      });
    }
    const known = new Set(paths);
    const roots = new Set(
      paths.filter((path) => projectFiles.includes(nameOf(path)) && isIncluded(path)).map(directoryOf),
    );
    return [...roots].map((root) => {
      const file = projectFiles.find((name) => known.has(below(root, name))) ?? '';
      return job(image, root, `${below(root, file)} makes its directory a project`, {
        steps: [],
        local_steps: [install, nodeMemory],
        indexer_args: ['scip-python', 'index'],
      });
    });
  },
};

function job(
  image: string,
  root: string,
  reason: string,
  spec: Pick<PlannedJob['spec'], 'steps' | 'local_steps' | 'indexer_args'>,
): PlannedJob {
  return { reason, spec: { ...spec, root, indexer: image, outfile: 'index.scip', requestedEnvVars: [] } };
}

/** Returns a field of a package's metadata that can be an argument of a command. */
function field(text: string, name: string): string | null {
  const value = new RegExp(`^${name}:[ \\t]*(\\S{1,200})[ \\t]*$`, 'm').exec(text)?.[1] ?? '';
  return /^[A-Za-z0-9][A-Za-z0-9._+!-]*$/.test(value) ? value : null;
}
