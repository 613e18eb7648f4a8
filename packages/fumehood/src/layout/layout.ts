import type { GuestRecipe } from '@fumehood/microvm';

/** Programs in C that the executor's helper runs. */
export interface HostPrograms {
  readonly launcher: string;
  readonly network: string;
}

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
  /** Returns the paths of the launcher and of the program that makes networks. A checkout builds them into the directory. Errors: `tool_failed`. */
  hostPrograms(directory: string): Promise<HostPrograms>;
  /** Returns what the guest image is built from. */
  guestRecipe(): Promise<GuestRecipe>;
}
