import { ancestorsOf, byDepth, directoryOf, isIncluded, nameOf } from '../files.ts';
import type { Recognizer } from '../recognizer.ts';
import type { IndexJobSpec, PlannedJob } from '../spec.ts';

type Part = Partial<IndexJobSpec> & Pick<IndexJobSpec, 'indexer_args'>;

const job = (image: string, root: string, reason: string, part: Part): PlannedJob => ({
  reason,
  spec: {
    steps: [],
    local_steps: [],
    root,
    indexer: image,
    outfile: 'index.scip',
    requestedEnvVars: [],
    ...part,
  },
});

/** Returns the distinct directories of the files with these names or endings that pass a test, and the first such file of each. */
function directoriesWith(
  paths: readonly string[],
  names: readonly string[],
  isOurs: (path: string) => boolean = isIncluded,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) {
    const matches = names.some((name) =>
      name.startsWith('*') ? path.endsWith(name.slice(1)) : nameOf(path) === name,
    );
    if (matches && isOurs(path) && !found.has(directoryOf(path))) found.set(directoryOf(path), path);
  }
  return found;
}

const goVariables = ['GOPRIVATE', 'GOPROXY', 'GONOPROXY', 'GOSUMDB', 'GONOSUMDB', 'NETRC_DATA'];
const writeNetrc = 'if [ -n "${NETRC_DATA:-}" ]; then printf "%s\\n" "$NETRC_DATA" > ~/.netrc; fi';

/** Go: each module; without any, the root if it has Go files. */
export const go: Recognizer = {
  language: 'go',
  contentPaths: () => [],
  jobs({ paths }, image) {
    const modules = directoriesWith(paths, ['go.mod'], (path) => isIncluded(path, ['vendor']));
    if (modules.size > 0)
      return [...modules].map(([root, path]) =>
        job(image, root, `${path} makes its directory a module`, {
          steps: [{ root, image, commands: [writeNetrc, 'go mod download'] }],
          local_steps: [writeNetrc],
          indexer_args: ['scip-go', '--no-animation'],
          requestedEnvVars: goVariables,
        }),
      );
    const source = paths.find((path) => directoryOf(path) === '' && path.endsWith('.go'));
    if (source === undefined || paths.some((path) => nameOf(path) === 'go.mod')) return [];
    return [
      job(image, '', `there is ${source}, and no go.mod`, {
        indexer_args: ['env', 'GO111MODULE=off', 'scip-go', '--no-animation'],
        requestedEnvVars: goVariables,
      }),
    ];
  },
};

const buildFiles = [
  'pom.xml',
  'build.gradle',
  'build.gradle.kts',
  'gradlew',
  'settings.gradle',
  'build.sbt',
  'build.sc',
  'lsif-java.json',
];

/** Java, Kotlin and Scala: the outermost directories with a build file that have sources below them. */
export const java: Recognizer = {
  language: 'java',
  contentPaths: () => [],
  jobs({ paths }, image) {
    const withSources = new Set(
      paths
        .filter((path) => /\.(?:java|scala|kt)$/.test(path))
        .flatMap((path) => ancestorsOf(directoryOf(path))),
    );
    const roots = new Map<string, string>();
    for (const [root, path] of [...directoriesWith(paths, buildFiles)].sort(([one], [other]) =>
      byDepth(one, other),
    ))
      if (withSources.has(root) && !ancestorsOf(root).some((above) => roots.has(above)))
        roots.set(root, path);
    return [...roots].map(([root, path]) =>
      job(image, root, `${path} builds the sources below it`, {
        indexer_args: ['scip-java', 'index', '--build-tool=auto'],
      }),
    );
  },
};

/** Ruby: each directory with a file of its package manager. */
export const ruby: Recognizer = {
  language: 'ruby',
  contentPaths: () => [],
  jobs: ({ paths }, image) =>
    [...directoriesWith(paths, ['*.gemspec', 'rubygems-metadata.yml', 'Gemfile.lock', 'Gemfile'])].map(
      ([root, path]) =>
        job(image, root, `${path} makes its directory a project`, { indexer_args: ['scip-ruby-autoindex'] }),
    ),
};

/** Rust: the whole repository, if there is a crate. */
export const rust: Recognizer = {
  language: 'rust',
  contentPaths: () => [],
  jobs({ paths }, image) {
    const crate = paths.filter((path) => nameOf(path) === 'Cargo.toml').sort(byDepth)[0];
    return crate === undefined
      ? []
      : [job(image, '', `there is ${crate}`, { indexer_args: ['scip-rust', 'index'] })];
  },
};

/** C# and Visual Basic: each solution; without any, each project. */
export const dotnet: Recognizer = {
  language: 'dotnet',
  contentPaths: () => [],
  jobs({ paths }, image) {
    const withEnding = (ending: RegExp) => paths.filter((path) => ending.test(path) && isIncluded(path));
    const solutions = withEnding(/\.sln$/);
    const projects = solutions.length > 0 ? solutions : withEnding(/\.(?:cs|vb)proj$/);
    return projects.map((path) =>
      job(image, directoryOf(path), `${path} is a ${solutions.length > 0 ? 'solution' : 'project'}`, {
        local_steps: ['export DOTNET_EnableWriteXorExecute=0'],
        // The command runs in the directory of the file.
        indexer_args: ['scip-dotnet', 'index', nameOf(path), '--output', 'index.scip'],
      }),
    );
  },
};

/** Languages whose indexers have to be configured, by the files that show them. */
const configured: Readonly<Record<string, readonly string[]>> = {
  'C and C++ (scip-clang)': ['compile_commands.json', 'CMakeLists.txt'],
  'PHP (scip-php)': ['composer.json'],
};

/** Returns, for languages that are there and that nothing is inferred for, what an admin has to do. */
export function configurationHints(paths: readonly string[]): string[] {
  return Object.entries(configured).flatMap(([language, names]) => {
    const path = paths.filter((one) => names.includes(nameOf(one)) && isIncluded(one)).sort(byDepth)[0];
    return path === undefined
      ? []
      : [`${path}: jobs for ${language} are not inferred; describe one in an index configuration`];
  });
}

export const otherRecognizers: readonly Recognizer[] = [go, java, ruby, rust, dotnet];
