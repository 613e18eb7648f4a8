import { layout } from '#layout';
import { buildGuest, type GuestImage } from '@fumehood/microvm';
import { usage } from '../errors.ts';
import type { State } from '../state/state.ts';

/** Returns the path of the kernel that FUMEHOOD_GUEST_KERNEL names, if it is set. Errors: `usage`. */
export function guestKernel({ FUMEHOOD_GUEST_KERNEL: path }: NodeJS.ProcessEnv): string | undefined {
  if (path !== undefined && !path.startsWith('/'))
    throw usage(
      `FUMEHOOD_GUEST_KERNEL is ${JSON.stringify(path)}`,
      'Set it to the absolute path of an uncompressed kernel (`vmlinux`), or unset it.',
    );
  return path;
}

/** Builds this host's guest image, with Debian's kernel or the named one. Errors: `usage`, `kernel_unusable`, and those of `buildGuest`. */
export async function buildHostGuest(deps: {
  readonly state: State;
  readonly environment: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
}): Promise<GuestImage> {
  const { state, environment, onProgress } = deps;
  const recipe = await layout.guestRecipe();
  const kernel = guestKernel(environment);
  const named = kernel === undefined ? recipe : { ...recipe, modules: [], kernel };
  return buildGuest({ directory: state.guest, onProgress, recipe: named });
}
