import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

/** An npm package whose code is part of a bundle. */
export interface Bundled {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license: string;
  /** The text of its licence, which has to go with its code. */
  readonly text: string;
}

/** Returns the npm packages that the bundles contain code of, by name. Throws for one without a licence. */
export function bundledPackages(metafiles: readonly Metafile[], repository: string): Bundled[] {
  const directories = new Set<string>();
  for (const { outputs } of metafiles)
    for (const { inputs } of Object.values(outputs))
      for (const input of Object.keys(inputs)) {
        const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
        if (found) directories.add(found);
      }
  return [...directories]
    .map((directory) => readPackage(join(repository, directory)))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function readPackage(directory: string): Bundled {
  const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  if (typeof license !== 'string') throw new Error(`${name} names no licence`);
  return { name, version, license, text: licenseText(directory) };
}

/** Returns the text of a package's licence file. Some packages have it in their README alone. */
function licenseText(directory: string): string {
  const names = readdirSync(directory);
  const name = names.find((entry) => /^(licen[sc]e|copying)/i.test(entry));
  if (name && existsSync(join(directory, name))) return readFileSync(join(directory, name), 'utf8').trim();
  return `The package has no licence file; its terms are those of the licence above.`;
}
