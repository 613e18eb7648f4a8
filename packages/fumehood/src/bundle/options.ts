import type { BuildOptions } from 'esbuild';

/** How every program of Fumehood is bundled: as ES modules for the pinned Node. */
export const bundleOptions = {
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node26',
  logLevel: 'error',
  // The one is optional, the other one brings a program of its own.
  external: ['pg-native', 'esbuild'],
  // CommonJS packages load the modules of Node with `require`.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
} as const satisfies BuildOptions;
