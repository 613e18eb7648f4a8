import type { GuestRecipe } from '@fumehood/microvm';

/**
 * Where the files are that commands need besides their own code. `#layout` is that of a checkout of the repository, or in a bundle made
 * for the condition `package` that of the package which users install.
 */
export interface Layout {
  /** The top directory of the checkout or of the package. */
  readonly root: string;
  /** Path by which the command can be called from every directory. */
  readonly command: string;
  /** In a checkout programs are built from their sources, and `npx fumehood` calls this command. */
  readonly isCheckout: boolean;
  /** The `package.json` with the version. */
  readonly manifest: string;
  /** Returns a text that changes with the programs. */
  programsKey(): Promise<string>;
  /** Writes the programs and `migrations/` to a directory. */
  writePrograms(directory: string): Promise<void>;
  /** Returns the path of the launcher. A checkout builds it into the directory. Errors: `tool_failed`. */
  launcher(directory: string): Promise<string>;
  /** Returns what the guest image is built from. */
  guestRecipe(): Promise<GuestRecipe>;
}
