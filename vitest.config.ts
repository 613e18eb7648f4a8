import { defineConfig } from 'vitest/config';

/**
 * Of the integration tests, those that take minutes: the queue's histories, the routes of executors one by one, the instance's
 * helper and its bounds of time, TLS, access and secrets, images of registries and the jobs of upstream's instances
 * that name them, mirrors, and the process that serves networks.
 */
const wire = [
  'packages/instance/src/helper/**/*.integration.test.ts',
  'packages/instance/src/queue/lifecycle.integration.test.ts',
  'packages/instance/src/backup/*.integration.test.ts',
  'packages/instance/src/http/executor/**/*.integration.test.ts',
  'packages/instance/src/**/*bounds.integration.test.ts',
  'packages/instance/src/secrets/**/*.integration.test.ts',
  'packages/oci/src/registry/**/*.integration.test.ts',
  'packages/executor/src/helper/networks.integration.test.ts',
  'test/integration/{access,behind-proxy,mirrors,registry-credentials,registry-proxy,tls,upstream-job}.test.ts',
];
/** What a guest, its VMM and the launcher have to do, and the agent with all of them. */
const vms = [
  'packages/executor/src/agent/agent.integration.test.ts',
  'packages/microvm/src/{launcher,network}/**/*.integration.test.ts',
  'test/integration/{crun,vmm-contract}.test.ts',
];
/** What takes minutes each, and what takes seconds each and finds few mistakes of a change, for the night. */
const night = [
  'test/crash/{batch-execution,batches,busy,changesets,disk-full,index-uploads,partition,power-loss,upgrade,zombie}.test.ts',
  'test/commands/{auto-indexing,batch-changes,batch-specs,demo,dependencies,dependency-bump}.test.ts',
  'test/commands/{hostile-batch,package-indexes,readme,real-batches,real-projects}.test.ts',
  'test/integration/{backup,code-clients,install-firecracker,orders}.test.ts',
  'test/thirdparty/**/*.test.ts',
  'test/scale/**/*.test.ts',
  'packages/base/src/spawn/remote.integration.test.ts',
  'packages/executor/src/agent/batch-job.integration.test.ts',
  'packages/executor/src/uplink/push-stream.integration.test.ts',
  'packages/fumehood/src/demo/odd-repository.integration.test.ts',
  'packages/instance/src/db/server/**/*.integration.test.ts',
  'packages/instance/src/repos/git-bounds.integration.test.ts',
  'packages/microvm/src/guest/init/frame.integration.test.ts',
  'packages/oci/src/{flatten,umoci}.integration.test.ts',
];
/** Starts the PostgreSQL server that the files of a run share. */
const postgres = 'packages/instance/src/db/testing.ts';
const vm = {
  fileParallelism: false,
  testTimeout: 120_000,
  hookTimeout: 180_000,
  setupFiles: ['test/leaks.ts'],
};
/**
 * unit: rules and parsers, in parallel, no VM. integration: the real parts (PostgreSQL, git, QEMU), one file at a time,
 * because two emulated VMs on two cores only measure each other.
 * The others are slices of their own (`npm run ci:NAME`).
 */
export default defineConfig({
  test: {
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'packaging/**/*.test.ts', 'test/repository/**/*.test.ts'],
          exclude: ['**/*.integration.test.ts', '**/node_modules/**'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['{packages/*/src,images}/**/*.integration.test.ts', 'test/integration/**/*.test.ts'],
          exclude: [...wire, ...vms, ...night, '**/node_modules/**'],
          ...vm,
          globalSetup: postgres,
        },
      },
      { test: { name: 'wire', include: wire, exclude: night, ...vm, globalSetup: postgres } },
      { test: { name: 'vms', include: vms, ...vm } },
      { test: { name: 'commands', include: ['test/commands/**/*.test.ts'], exclude: night, ...vm } },
      { test: { name: 'crash', include: ['test/crash/**/*.test.ts'], exclude: night, ...vm } },
      { test: { name: 'night', include: night, ...vm, globalSetup: postgres } },
      { test: { name: 'interop', include: ['test/interop/**/*.test.ts'], ...vm, globalSetup: postgres } },
      // Runs in the nested machine, which has no use for PostgreSQL.
      { test: { name: 'contract', include: ['test/integration/vmm-contract.test.ts'], ...vm } },
      { test: { name: 'nested', include: ['test/nested/**/*.test.ts'], ...vm } },
      { test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'bare', include: ['test/bare/**/*.test.ts'], ...vm } },
      { test: { name: 'install', include: ['test/install/**/*.test.ts'], ...vm } },
      { test: { name: 'hostile', include: ['test/hostile/**/*.test.ts'], ...vm } },
    ],
  },
});
