import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { layout } from '#layout';
import type { State } from '../state/state.ts';

const recipesDirectory = join(layout.root, 'images');

/** Names of the images that come with Fumehood. `images/NAME/build.ts` is the recipe of each. */
export const imageNames: readonly string[] = readdirSync(recipesDirectory, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort();

interface Recipe {
  build(options: {
    readonly directory: string;
    readonly onProgress: (line: string) => void;
  }): Promise<{ readonly archive: string; readonly digest: string }>;
}

/** Builds an image into the state directory, or returns the archive of an earlier build. Errors: `tool_failed`. */
export async function buildImage(
  name: string,
  state: State,
  onProgress: (line: string) => void,
): Promise<{ readonly archive: string; readonly digest: string }> {
  const recipe = (await import(`../../../../images/${name}/build.ts`)) as Recipe;
  return recipe.build({ directory: join(state.images, name), onProgress });
}
