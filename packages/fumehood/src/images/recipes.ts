import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { State } from '../state/state.ts';

const recipes = resolve(import.meta.dirname, '../../../../images');

/** Images that come with the product, as recipes that build them here. */
export const imageNames: readonly string[] = readdirSync(recipes, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

interface Recipe {
  build(options: {
    readonly directory: string;
    readonly onProgress: (line: string) => void;
  }): Promise<{ readonly archive: string; readonly digest: string }>;
}

/** Builds the image once; a file in the state directory afterwards. Errors: `tool_failed`. */
export async function buildImage(
  name: string,
  state: State,
  onProgress: (line: string) => void,
): Promise<{ readonly archive: string; readonly digest: string }> {
  const recipe = (await import(pathToFileURL(join(recipes, name, 'build.ts')).href)) as Recipe;
  return recipe.build({ directory: join(state.images, name), onProgress });
}
