import type { CodePackage } from '@fumehood/protocol';
import { packageOf } from '@fumehood/scip';

/** Begins the names under which the indexes of packages are stored. No repository of the instance has such a name: it may have no colon. */
export const packagePrefix = 'pkg:';

/** What a registry accepts as the name and the version of a package. None can be an option, a path, a URL or a tag. */
const grammars: Readonly<Record<string, { readonly name: RegExp; readonly version: RegExp }>> = {
  // Names of npm: at most 214 characters of a URL, in lower case. Versions are those of Semantic Versioning 2.0.0.
  npm: {
    name: /^(?=.{1,214}$)(?:@[a-z0-9][a-z0-9._~-]*\/)?[a-z0-9][a-z0-9._~-]*$/,
    version: /^(?=.{1,128}$)\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z.-]+)?$/,
  },
  // Names and versions of Python's package index (PEP 508, PEP 440).
  python: {
    name: /^(?=.{1,200}$)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/,
    version:
      /^(?=.{1,128}$)(?:\d+!)?\d+(?:\.\d+)*(?:[._-]?[a-z]+[._-]?\d*)*(?:\+[a-z0-9]+(?:[._-][a-z0-9]+)*)?$/,
  },
};
/** What indexers call the modules that come with Python. */
const standardLibrary = 'python-stdlib';

/** Returns the package of a registry that a symbol names; null: there is none that a registry could have. */
export function dependencyOf(symbol: string): CodePackage | null {
  const found = packageOf(symbol);
  return found !== null && isOfRegistry(found) ? found : null;
}

/** Returns the name under which the index of a package is stored. */
export const repositoryOfPackage = ({ manager, name, version }: CodePackage): string =>
  `${packagePrefix}${manager}/${name}@${version}`;

/** Returns the package whose index is stored under a name; null for the name of a repository. */
export function packageOfRepository(repository: string): CodePackage | null {
  const [, manager = '', name = '', version = ''] = /^pkg:([a-z]+)\/(.+)@([^@]+)$/s.exec(repository) ?? [];
  const found = { manager, name, version };
  return isOfRegistry(found) ? found : null;
}

function isOfRegistry({ manager, name, version }: CodePackage): boolean {
  const grammar = Object.hasOwn(grammars, manager) ? grammars[manager] : undefined;
  return (
    grammar !== undefined &&
    grammar.name.test(name) &&
    grammar.version.test(version) &&
    name !== standardLibrary
  );
}
