import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** The instance without a single fsync of its own: what its stores lose at a power loss then, the test must find. */
Object.assign(fs, {
  fsync: (_descriptor: number, done: (error: null) => void) => process.nextTick(done, null),
  fsyncSync: () => {},
});
syncBuiltinESMExports();
const handle = await fs.promises.open('/');
Object.assign(Object.getPrototypeOf(handle) as object, { sync: async () => {} });
await handle.close();
await import('../../../packages/instance/src/main.ts');
