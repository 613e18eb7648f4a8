import { defineConfig } from 'vitest/config';

/**
 * unit: rules and parsers, in parallel, no VM. integration: the real parts (PostgreSQL, git, QEMU), one file at a time,
 * because two emulated VMs on two cores only measure each other.
 */
export default defineConfig({
  test: {
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'test/{static,unit}/**/*.test.ts'],
          exclude: ['**/*.integration.test.ts', '**/node_modules/**'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['{packages/*/src,images}/**/*.integration.test.ts', 'test/integration/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
